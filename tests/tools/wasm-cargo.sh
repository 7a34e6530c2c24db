#!/usr/bin/env bash
# Runs cargo for wasm32-wasip1 with whichever toolchain can build for it, and
# installs one where it may.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: wasm-cargo.sh COMMAND [CARGO ARGUMENTS]

Runs `cargo COMMAND` for wasm32-wasip1, in target/wasm, so that no path of this
machine gets into what it builds. Takes the first toolchain that works:
  rustup   the cargo of $PATH, with its wasm32-wasip1 (added if rustup can)
  debian   Debian's packages (installed if root)
WASM_TOOLCHAIN=rustup or =debian allows only that one.

wasm-cargo.sh --check installs nothing: it fails if there is none and none could be
installed either. --how says how to install one by hand. --rustc says which compiler
it is.
TEXT
}

target=wasm32-wasip1
root=$(cd "$(dirname "$0")/../.." && pwd)
wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$root/Cargo.toml")
# Debian 12 and 13 keep a recent Rust for their browsers. It has no standard
# library for the target, so cargo builds that too.
packages=(rustc-web cargo-web rust-web-src rust-web-llvm rust-web-clippy
  lld-22 wasi-libc)
log() { echo "wasm-cargo: $*" >&2; }

has_target() { # RUSTC
  local libraries
  libraries=$("$1" --print target-libdir --target "$target" 2>/dev/null) &&
    compgen -G "$libraries/libstd-*.rlib" >/dev/null
}

rustup_toolchain() {
  command -v cargo rustc >/dev/null || return 1
  has_target rustc && return
  command -v rustup >/dev/null || return 1
  [[ ! $check ]] || return 0
  log "rustup target add $target"
  timeout 60 rustup target add "$target" >&2 && has_target rustc && return
  log "rustup could not add it"
  return 1
}

debian_toolchain() {
  command -v apt-get dpkg-query >/dev/null || return 1
  installed && return
  [[ $(id -u) == 0 ]] || return 1
  [[ ! $check ]] || return 0
  log "apt-get install ${packages[*]}"
  "$root/tests/tools/install.sh" "${packages[@]}" >&2
}

installed() {
  dpkg-query --show --showformat '${db:Status-Status}\n' "${packages[@]}" 2>/dev/null |
    grep -c '^installed$' | grep -qx "${#packages[@]}"
}

how() {
  cat <<TEXT
rustup target add $target
apt-get install ${packages[*]} (Debian 12 and 13)
apt-get install rustc cargo libstd-rust-dev-wasm32 lld wasi-libc (where rustc is $wanted)
TEXT
}

check=
case ${1:-} in
  '' | -h | --help) usage && exit ;;
  --how) how && exit ;;
  --check) check=1 ;;
esac
command=$1
shift

case ${WASM_TOOLCHAIN:-} in
  '') candidates=(rustup debian) ;;
  rustup | debian) candidates=("$WASM_TOOLCHAIN") ;;
  *) usage >&2 && exit 2 ;;
esac
toolchain=
for candidate in "${candidates[@]}"; do
  if "${candidate}_toolchain"; then
    toolchain=$candidate
    break
  fi
done
if [[ $check ]]; then
  [[ $toolchain ]] && exit || exit 1
elif [[ ! $toolchain ]]; then
  log "no Rust $wanted or later that builds for $target was found, and none could be"
  log 'installed. Any one of these does it:'
  how | sed 's/^/  /' >&2
  exit 1
fi

flags=()
options=(--target "$target" --target-dir "$root/target/wasm")
if [[ $toolchain == debian ]]; then
  export PATH=/usr/bin:/bin
  if ! has_target rustc; then
    export RUSTC_BOOTSTRAP=1
    options+=("-Zbuild-std=std,panic_abort")
  fi
fi
sysroot=$(rustc --print sysroot)
if [[ $sysroot == /usr ]]; then
  # Unlike rustup's, Debian's Rust brings no C library for the target.
  flags+=(-L native=/usr/lib/wasm32-wasi)
fi
flags+=(
  "--remap-path-prefix=$sysroot=/rust"
  "--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
  "--remap-path-prefix=$root=/bluegreen"
)
[[ $command != --rustc ]] || exec rustc --version --verbose
log "$(rustc --version)"
CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f' && echo "${flags[*]}")
export CARGO_ENCODED_RUSTFLAGS
cd "$root"
# The options stand before any `--`.
exec cargo "$command" "${options[@]}" "$@"
