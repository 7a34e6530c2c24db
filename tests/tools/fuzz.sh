#!/usr/bin/env bash
# Fuzzes the core: each target for so many seconds.
set -euo pipefail

if [[ $# -ne 1 || $1 == --help ]]; then
  echo "usage: fuzz.sh SECONDS

Runs each fuzz target (tests/fuzz) for SECONDS, from the corpus in the project.
New inputs go to target/fuzz/corpus. A crash ends it, and says where its input
is. Runs on stable Rust; cargo-fuzz is installed below target."
  [[ ${1-} == --help ]] && exit || exit 2
fi
seconds=$1

cd "$(dirname "$0")/../.."
version=0.13.2
if ! command -v c++ >/dev/null; then
  echo "libFuzzer needs a C++ compiler: apt-get install g++" >&2
  exit 1
fi
tools=$PWD/target/tools
if [[ ! -x $tools/bin/cargo-fuzz ]]; then
  cargo install --quiet --locked --root "$tools" "cargo-fuzz@$version"
fi

for target in request configuration; do
  found=target/fuzz/corpus/$target
  artifacts=target/fuzz/artifacts/$target/
  mkdir -p "$found" "$artifacts"
  # Coverage counts without a sanitizer: those need a nightly Rust.
  "$tools/bin/cargo-fuzz" fuzz run --fuzz-dir tests/fuzz --sanitizer none \
    --target-dir target/fuzz/build "$target" "$found" "tests/fuzz/corpus/$target" -- \
    -max_total_time="$seconds" -max_len=4096 -dict=tests/fuzz/tokens.dict \
    -artifact_prefix="$artifacts" || {
    echo "$target: a crash; its input is in $artifacts" >&2
    exit 1
  }
done
