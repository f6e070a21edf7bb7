#!/usr/bin/env bash
# Checks licences, bans and sources of all dependencies, and their advisories where the advisory database can be had.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! cargo deny --version >/dev/null 2>&1; then
    echo "installing cargo-deny (some minutes)" >&2
    env -u CARGO_TARGET_DIR cargo install cargo-deny --locked --quiet
fi
checks=(bans licenses sources)
if cargo deny --log-level off fetch db; then
    checks+=(advisories)
else
    echo "warning: advisories are not checked: the database at github.com/RustSec cannot be reached" >&2
fi
cargo deny check "${checks[@]}"
