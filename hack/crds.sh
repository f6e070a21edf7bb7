#!/usr/bin/env bash
# Writes what `vault-jwt-operator crds` prints to crds/, one file for each CustomResourceDefinition.
set -euo pipefail
cd "$(dirname "$0")/.."

mkdir -p crds
printed=$(cargo run --quiet -- crds)
rm -f crds/*.yaml
awk '
    function flush() { if (file) printf "%s", text >file; file = text = "" }
    /^---$/ { flush(); next }
    { text = text $0 "\n" }
    !file && /^  name: / { split($2, name, "."); file = "crds/" name[1] ".yaml" }
    END { flush() }
' <<<"$printed"
ls crds/*.yaml
