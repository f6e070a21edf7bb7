#!/usr/bin/env bash
# Finds or builds the real servers that tests, demo and benchmark talk to. The last line printed is the folder that
# holds them. Looked for in this order: KUBEBUILDER_ASSETS and VAULT_BIN, PATH, the cache, and only then built with Go.
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
kubernetes=$here/tests/servers/kubernetes
vault=$here/tests/servers/vault
version_of() { awk -v m="$2" '$1 == m && $2 ~ /^v/ {print $2; exit} $1 == "require" && $2 == m {print $3; exit}' "$1/go.mod"; }
k8s_version=$(version_of "$kubernetes" k8s.io/kubernetes)
vault_version=$(version_of "$vault" github.com/hashicorp/vault)
# Outside target/, so that `cargo clean` and a fresh clone keep what took twenty minutes to build.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/vault-jwt-operator/kubernetes-$k8s_version-vault-$vault_version
folder=$here/target/servers
mkdir -p "$cache" "$folder/plugins"

say() { printf '%s\n' "$*" >&2; }

# Counts the packages that `go build -v` names, so that nine silent minutes are not taken for a hang. Other lines are
# shown; whether the build went well is told by go's own exit status.
progress() {
    local name=$1 total=$2 done=0 start=$SECONDS shown=$SECONDS line
    while IFS= read -r line; do
        case $line in
        'go: downloading '*) ;;
        *[![:graph:]]* | '') say "$line" ;;
        *) done=$((done + 1)) ;;
        esac
        if [[ -t 2 ]]; then
            printf '\r%s: %d of at most %d packages, %ds ' "$name" "$done" "$total" $((SECONDS - start)) >&2
        elif ((SECONDS - shown >= 30)); then
            shown=$SECONDS
            say "$name: $done of at most $total packages, $((SECONDS - start))s"
        fi
    done
    if [[ -t 2 ]]; then printf '\r\033[K' >&2; fi
}

# build NAME MODULE_DIR PACKAGE [go build flags…]
build() {
    local name=$1 module=$2 package=$3
    shift 3
    command -v go >/dev/null || {
        say "error: $name was not found (KUBEBUILDER_ASSETS, VAULT_BIN, PATH, $cache) and cannot be built: Go 1.26 or newer is not installed."
        exit 1
    }
    say "building $name (the first time this takes about ten minutes on two cores)"
    local total
    total=$(cd "$module" && go list -mod=readonly -deps "$package" | wc -l)
    (cd "$module" && CGO_ENABLED=0 GOFLAGS=-mod=readonly go build -v -trimpath -o "$cache/$name.part" "$@" "$package" 2>&1) |
        progress "$name" "$total"
    mv "$cache/$name.part" "$cache/$name"
    say "built $name"
}

# provide NAME EXPLICIT: links NAME into the folder when it exists somewhere; fails when it must be built.
provide() {
    local name=$1 explicit=$2 found=
    if [[ -n $explicit && -x $explicit ]]; then found=$explicit
    elif found=$(command -v "$name"); then :
    elif [[ -x $cache/$name ]]; then found=$cache/$name
    else return 1
    fi
    # Not onto itself, should the folder be in PATH.
    [[ $found -ef $folder/$name ]] || ln -sfn "$(cd "$(dirname "$found")" && pwd)/$(basename "$found")" "$folder/$name"
}

# One builder at a time: two of them would only halve each other's speed.
exec 9>"$cache/.lock"
if command -v flock >/dev/null; then flock 9; fi

assets=${KUBEBUILDER_ASSETS:-}
for name in kube-apiserver kube-controller-manager; do
    provide $name "${assets:+$assets/$name}" && continue
    build $name "$kubernetes" k8s.io/kubernetes/cmd/$name \
        -ldflags="-s -w -X k8s.io/component-base/version.gitVersion=$k8s_version"
    provide $name ""
done
provide etcd "${assets:+$assets/etcd}" || {
    build etcd "$kubernetes" go.etcd.io/etcd/server/v3 -ldflags='-s -w'
    provide etcd ""
}
provide vault "${VAULT_BIN:-}" || {
    build vault "$vault" github.com/hashicorp/vault -tags=minimal -ldflags='-s -w'
    provide vault ""
}
# A minimal Vault, as ours is, lacks the kubernetes auth method. A plugin is registered under its file name.
plugin=github.com/hashicorp/vault-plugin-auth-kubernetes
if [[ ! $folder/vault -ef $cache/vault ]] && grep -qaF $plugin "$folder/vault"; then
    rm -f "$folder/plugins/kubernetes"
else
    if [[ ! -x $cache/plugins/kubernetes ]]; then
        mkdir -p "$cache/plugins"
        build plugins/kubernetes "$vault" $plugin/cmd/vault-plugin-auth-kubernetes -ldflags='-s -w'
    fi
    # Vault wants the plugin itself in its plugin folder, not a link that leads out of it.
    if [[ ! $folder/plugins/kubernetes -nt $cache/plugins/kubernetes ]]; then
        cp "$cache/plugins/kubernetes" "$cache/plugins/kubernetes.copy"
        mv "$cache/plugins/kubernetes.copy" "$folder/plugins/kubernetes"
    fi
fi

printf '%s\n' "$folder"
