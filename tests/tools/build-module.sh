#!/usr/bin/env bash
# Builds target/bluegreen.wasm and says its size and sha256.
set -euo pipefail

if [[ $# -gt 0 ]]; then
  echo "usage: build-module.sh

Builds target/bluegreen.wasm: compiles the library for wasm32-wasip1 (see
wasm-cargo.sh for the toolchains) and cuts it down with postlink."
  [[ $1 == --help ]] && exit || exit 2
fi

cd "$(dirname "$0")/../.."
module=target/bluegreen.wasm

tests/tools/wasm-cargo.sh rustc --release --locked --lib --crate-type cdylib
# A debug build: it takes a third of the time, and runs for milliseconds. The
# Debian packages may be all the Rust there is.
command -v cargo >/dev/null || PATH=$PATH:/usr/bin
env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS -u CARGO_BUILD_TARGET \
  cargo run --quiet --locked --features postlink --bin postlink \
  --target-dir target/postlink -- \
  target/wasm/wasm32-wasip1/release/bluegreen.wasm "$module.new"
# A module that did not change keeps its time, and a reader never sees half of one.
if cmp --silent "$module.new" "$module"; then
  rm "$module.new"
else
  mv "$module.new" "$module"
fi
echo "$module  $(wc -c <"$module") bytes"
echo "sha256 $(sha256sum "$module" | cut -d ' ' -f 1)"
