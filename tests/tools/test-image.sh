#!/usr/bin/env bash
# The image depends on the module alone, and what a registry gives back for the
# pushed url is what Istio looks for.
set -euo pipefail

if [[ $# -gt 0 ]]; then
  echo "usage: test-image.sh

Builds the image twice, pushes it to a registry on loopback, which it starts and
stops, and pulls it back by its url, with curl. Wants target/bluegreen.wasm."
  [[ $1 == --help ]] && exit || exit 2
fi

cd "$(dirname "$0")/../.."
work=$(mktemp --directory)
registry=
trap '[[ -z $registry ]] || kill "$registry"; rm -rf "$work"' EXIT

fail() {
  echo "FAILED: $1"
  printf '  %s\n' "${@:2}"
  exit 1
}

ok() {
  echo "✔ $*"
}

same() { # WHAT EXPECTED FOUND
  [[ $2 == "$3" ]] || fail "$1" "expected $2" "found    $3"
}

# ------------------------------------------------------------------ two builds

export SOURCE=https://git.example/bluegreen

copy() { # FOLDER: what an image is made of, to there
  mkdir "$1"
  tar --create --file - Cargo.toml envoyfilter/image target/bluegreen.wasm tests/tools |
    tar --extract --file - --directory "$1"
}
digest() { # FOLDER: builds the image there
  "$1/tests/tools/image.sh" | sed -n 's/^digest //p'
}
one=$work/one other=$work/other
copy "$one"
copy "$other"
# What a builder's umask and clock leave on the file, and who that is.
chmod 600 "$other/target/bluegreen.wasm"
[[ $(id -u) != 0 ]] || chown 65534:65534 "$other/target/bluegreen.wasm"
touch --date=2001-02-03 "$other/target/bluegreen.wasm"

digest=$(digest "$one")
same 'two builds differ' "$digest" "$(umask 077 && digest "$other")"
ok 'the same digest from another folder, umask and file time'

# ------------------------------------------------------------- push to a registry

cat >"$work/registry.yml" <<TEXT
version: 0.1
storage: {filesystem: {rootdirectory: $work/registry}}
http: {addr: "127.0.0.1:0"}
TEXT
touch "$work/registry.log" # it is read before the registry may have begun
docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 &
registry=$!
host=
for _ in {1..100}; do
  host=$(sed -n 's/.*listening on \(127\.0\.0\.1:[0-9]*\).*/\1/p' "$work/registry.log")
  [[ -z $host ]] || break
  sleep 0.1
done
[[ $host ]] || fail 'the registry does not start' "$(<"$work/registry.log")"

# Nobody's login goes there.
echo '{}' >"$work/auth.json"
export REGISTRY_AUTH_FILE=$work/auth.json

target=$host/team/bluegreen
if error=$("$one/tests/tools/push.sh" "$target:1" 2>&1); then
  fail 'pushed by plain HTTP, unasked'
fi
[[ $error == *TLS_VERIFY=false* ]] || fail 'no hint at TLS_VERIFY' "$error"
ok 'refused by plain HTTP, and what to do is said'

pushed=$(TLS_VERIFY=false "$one/tests/tools/push.sh" "$target:1")
same 'the url' "url: oci://$target@$digest" "$pushed"
ok 'pushed; the url has the digest of the build'

# ------------------------------------------------ pull what the url names, as Istio

get() { # URL FILE: from the registry; its sha256 has to be the last part of the URL
  curl --silent --show-error --fail --output "$2" \
    --header 'Accept: application/vnd.oci.image.manifest.v1+json' "http://$host/v2/$1"
  same "content of $1" "${1##*:}" "$(sha256sum "$2" | cut -d ' ' -f 1)"
}
blobs() { # of the manifest: its configuration, then its layers
  grep --only-matching --extended-regexp 'sha256:[0-9a-f]{64}' "$work/manifest"
}
holds() { # FILE TEXT
  grep --quiet --fixed-strings "$2" "$1" || fail "no $2 in" "$(<"$1")"
}
url=${pushed#*"$host/"}
get "${url/@//manifests/}" "$work/manifest"
get "team/bluegreen/blobs/$(blobs | head -n 1)" "$work/config"
get "team/bluegreen/blobs/$(blobs | tail -n 1)" "$work/layer"

same 'number of layers' 1 $(($(blobs | wc -l) - 1))
holds "$work/manifest" '"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip"'
holds "$work/manifest" '"module.wasm.image/variant":"compat"'
same 'files in the layer' '-rw-r--r-- 0/0 plugin.wasm' \
  "$(tar --numeric-owner -tvzf "$work/layer" | awk '{ print $1, $2, $NF }')"
tar -xzOf "$work/layer" plugin.wasm | cmp - target/bluegreen.wasm ||
  fail 'plugin.wasm is not target/bluegreen.wasm'
ok 'pulled by the url: one layer, with the module as plugin.wasm'

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
for label in title:bluegreen "version:$version" licenses:Apache-2.0; do
  holds "$work/config" "\"org.opencontainers.image.${label%%:*}\":\"${label#*:}\""
done
holds "$work/config" '"org.opencontainers.image.description":"'
holds "$work/config" "\"org.opencontainers.image.source\":\"$SOURCE\""
ok 'its labels tell title, version, licence, source and description'
