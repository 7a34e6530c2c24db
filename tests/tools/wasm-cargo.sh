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
TEXT
}

target=wasm32-wasip1
root=$(cd "$(dirname "$0")/../.." && pwd)
wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$root/Cargo.toml")
# Debian 12 keeps a recent Rust for its browsers. It has no standard library for
# the target, so cargo builds that too.
web_packages=(rustc-web cargo-web rust-web-src rust-web-llvm rust-web-clippy
  lld-22 wasi-libc)
std_packages=(rustc cargo rust-clippy libstd-rust-dev-wasm32 lld wasi-libc)
log() { echo "wasm-cargo: $*" >&2; }

has_target() { # RUSTC
  local libraries
  libraries=$("$1" --print target-libdir --target "$target" 2>/dev/null) &&
    compgen -G "$libraries/libstd-*.rlib" >/dev/null
}

recent() { # VERSION
  [[ $(printf '%s\n' "$wanted" "$1" | sort -V | head -n 1) == "$wanted" ]]
}

rustup_toolchain() {
  command -v cargo rustc >/dev/null || return 1
  has_target rustc && return
  command -v rustup >/dev/null || return 1
  log "rustup target add $target"
  timeout 60 rustup target add "$target" >&2 && has_target rustc && return
  log "rustup could not add it"
  return 1
}

installed() { # PACKAGE...
  dpkg-query --show --showformat '${db:Status-Status}\n' "$@" 2>/dev/null |
    grep -c '^installed$' | grep -qx "$#"
}

debian_toolchain() {
  command -v apt-get dpkg-query >/dev/null || return 1
  installed "${web_packages[@]}" && return
  installed "${std_packages[@]}" && recent "$(debian_version libstd-rust-dev-wasm32)" && return
  [[ $(id -u) == 0 ]] || return 1
  [[ $(debian_version libstd-rust-dev-wasm32) ]] || apt-get -q update >&2
  local packages=("${web_packages[@]}")
  recent "$(debian_version libstd-rust-dev-wasm32)" && packages=("${std_packages[@]}")
  log "apt-get install ${packages[*]}"
  DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-remove --no-install-recommends \
    install "${packages[@]}" >&2
}

debian_version() { # PACKAGE
  apt-cache policy "$1" | sed -n 's/^  Candidate: \([0-9.]*\).*/\1/p'
}

give_up() {
  cat >&2 <<TEXT
wasm-cargo: no Rust $wanted or later that builds for $target was found, and none
could be installed. Any one of these installs it:
  rustup target add $target
  apt-get install ${web_packages[*]}
      (Debian 12, as root)
  apt-get install ${std_packages[*]}
      (a Debian whose rustc is $wanted or later, as root)
TEXT
  exit 1
}

case ${1:-} in
  '' | -h | --help) usage && exit ;;
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
[[ $toolchain ]] || give_up

flags=()
options=(--target "$target" --target-dir "$root/target/wasm")
if [[ $toolchain == debian ]]; then
  export PATH=/usr/bin:/bin
  flags+=(-L native=/usr/lib/wasm32-wasi)
  if ! has_target rustc; then
    export RUSTC_BOOTSTRAP=1
    options+=("-Zbuild-std=std,panic_abort")
  fi
fi
flags+=(
  "--remap-path-prefix=$(rustc --print sysroot)=/rust"
  "--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
  "--remap-path-prefix=$root=/bluegreen"
)
log "$(rustc --version)"
CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f' && echo "${flags[*]}")
export CARGO_ENCODED_RUSTFLAGS
cd "$root"
# The options stand before any `--`.
exec cargo "$command" "${options[@]}" "$@"
