#!/usr/bin/env bash
# Builds the modules that ours is compared with, by the filter's compiler and settings.
set -euo pipefail

if [[ $# -gt 0 ]]; then
  echo "usage: build-modules.sh

Builds in target/bench
  empty.wasm      a module of the SDK that does nothing
  empty-cut.wasm  the same with the exports of the filter
  calls-cut.wasm  one that makes the calls that its configuration names"
  [[ $1 == --help ]] && exit || exit 2
fi

cd "$(dirname "$0")/.."
out=target/bench
mkdir -p "$out"
command -v cargo >/dev/null || PATH=$PATH:/usr/bin

for name in empty calls; do
  tests/tools/wasm-cargo.sh rustc --release --locked --lib --crate-type cdylib \
    --manifest-path "benches/$name/Cargo.toml"
  cp "target/wasm/wasm32-wasip1/release/$name.wasm" "$out/$name.wasm"
  env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS -u CARGO_BUILD_TARGET \
    cargo run --quiet --locked --features postlink --bin postlink \
    --target-dir target/postlink -- "$out/$name.wasm" "$out/$name-cut.wasm"
done
