#!/usr/bin/env bash
# The module depends on the source alone: built anew from a copy in another
# folder it has the same bytes, and no path of this machine is in it.
set -euo pipefail

if [[ $# -gt 0 ]]; then
  echo "usage: test-reproducible.sh

Builds the module from a copy of the source in another folder and compares it
with target/bluegreen.wasm, which \`make build\` has left."
  [[ $1 == --help ]] && exit || exit 2
fi

cd "$(dirname "$0")/../.."
copy=$(mktemp --directory)
trap 'rm -rf "$copy"' EXIT

tar --create --file - --exclude=./target --exclude=./.git . |
  tar --extract --file - --directory "$copy"
"$copy/tests/tools/build-module.sh"

if ! cmp target/bluegreen.wasm "$copy/target/bluegreen.wasm"; then
  echo "FAILED: two builds of the same source differ"
  exit 1
fi
for path in "$PWD" "$HOME"; do
  if grep --quiet --binary --fixed-strings "$path/" target/bluegreen.wasm; then
    echo "FAILED: the module says $path"
    exit 1
  fi
done
echo "the same bytes from another folder, and no path of this machine in them"
