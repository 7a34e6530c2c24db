#!/usr/bin/env bash
# Looks for what a target needs, installs what it may, and says all that is missing.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: need.sh NEED...

Looks for each NEED. What is missing:
  docker-registry, prometheus    is unpacked below target, out of Debian's packages
  buildah, chromium, curl, debootstrap, h2load, openssl, valgrind
                                 is installed, if this is root and there is apt-get
  cargo, cc, c++, go, python, wasm, kubectl, istioctl, KUBECONFIG, etcd, kube-apiserver
                                 is up to you
Then fails if something is missing all the same, or too old: says of each the version
that is wanted, the one that was found, and what installs it. `wasm` is a Rust that
builds the module, or can be made to (wasm-cargo.sh); KUBECONFIG is the variable.
TEXT
}

case ${1-} in
  '' | -h | --help) usage && exit ;;
esac

tools=$(cd "$(dirname "$0")" && pwd)
cd "$tools/../.."
rust=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
unpacked=$PWD/target/debian/usr/bin
PATH=$PATH:$unpacked

version() { # COMMAND...: the first version that it prints; nothing if it is not there
  "$@" 2>/dev/null | grep --only-matching --extended-regexp '[0-9]+(\.[0-9]+)+' |
    head -n 1 || true
}

at_least() { # WANTED FOUND
  [[ $(printf '%s\n' "$1" "${2:-0}" | sort --version-sort | head -n 1) == "$1" ]]
}

# Sets what is wanted and what was found, how it is installed, and by which packages.
look() { # NEED: fails if it is missing
  what=$1 found=none how=() package=
  local oldest=
  case $1 in
    cargo)
      oldest=$rust
      found=$(version cargo --version)
      how=('https://rustup.rs, then: rustup toolchain install stable'
        'or (Debian, as root): apt-get install rustc-web cargo-web')
      ;;
    cc)
      what='a C compiler (cc), to link Rust programs'
      how=('apt-get install gcc libc6-dev')
      command -v cc >/dev/null
      return
      ;;
    c++)
      what='a C++ compiler (c++), for libFuzzer'
      how=('apt-get install g++')
      command -v c++ >/dev/null
      return
      ;;
    go)
      oldest=1.26
      found=$(version go version)
      how=('https://go.dev/dl/')
      ;;
    python)
      what=python3 oldest=3.11
      found=$(version python3 --version)
      how=('apt-get install python3 python3-venv')
      if at_least "$oldest" "$found" && ! python3 -c 'import ensurepip' 2>/dev/null; then
        what="python3's modules venv and ensurepip"
        found="python3 $found without them"
        return 1
      fi
      ;;
    wasm)
      what='a Rust that builds for wasm32-wasip1'
      mapfile -t how < <("$tools/wasm-cargo.sh" --how)
      "$tools/wasm-cargo.sh" --check
      return
      ;;
    chromium)
      what='a Chromium, for the browser tests'
      package=chromium
      command -v chromium >/dev/null || command -v chromium-browser >/dev/null
      return
      ;;
    docker-registry)
      package=docker-registry
      command -v docker-registry >/dev/null
      return
      ;;
    prometheus)
      oldest=2.42 package=prometheus
      found=$(version prometheus --version)
      command -v promtool >/dev/null || found=
      ;;
    buildah)
      oldest=1.28 package=buildah
      found=$(version buildah --version)
      ;;
    curl | debootstrap | openssl)
      package=$1
      command -v "$1" >/dev/null
      return
      ;;
    h2load)
      # --rps and --log-file.
      oldest=1.43 package=nghttp2-client
      found=$(version h2load --version)
      ;;
    valgrind)
      oldest=3.19 package=valgrind
      found=$(version valgrind --version)
      ;;
    kubectl)
      oldest=1.30
      found=$(version kubectl version --client)
      how=('https://kubernetes.io/docs/tasks/tools/')
      ;;
    etcd)
      oldest=3.4
      found=$(version etcd --version)
      how=('https://etcd.io/docs/latest/install/' 'or (Debian): apt-get install etcd-server')
      ;;
    kube-apiserver)
      what='a kube-apiserver of Kubernetes 1.34 or later, for a second API server'
      how=('https://kubernetes.io/releases/download/#binaries')
      found=$(version kube-apiserver --version)
      at_least 1.34 "$found"
      return
      ;;
    istioctl)
      what='istioctl, of the version of the Istio on the cluster'
      how=('https://istio.io/latest/docs/setup/getting-started/#download')
      command -v istioctl >/dev/null
      return
      ;;
    KUBECONFIG)
      what='KUBECONFIG, the file of a cluster with Istio'
      found='none; ~/.kube/config is not taken unasked: e2e changes the whole mesh'
      how=('export KUBECONFIG=FILE, of a cluster for tests')
      [[ ${KUBECONFIG-} ]]
      return
      ;;
    *)
      echo "need.sh: unknown: $1" >&2
      exit 2
      ;;
  esac
  what="$what $oldest or later"
  at_least "$oldest" "$found"
}

missing=()
unpack=()
install=()
for need in "$@"; do
  look "$need" && continue
  missing+=("$need")
  case $need in
    docker-registry | prometheus) unpack+=("$package") ;;
    *) [[ ! $package ]] || install+=("$package") ;;
  esac
done
[[ ${#missing[@]} -gt 0 ]] || exit 0

# If it fails, the log is on the screen, and what is missing is said below.
if [[ ${#unpack[@]} -gt 0 ]] && command -v apt-get dpkg-deb >/dev/null; then
  "$tools/logged.sh" unpack "$tools/unpack.sh" "${unpack[@]}" || true
fi
if [[ ${#install[@]} -gt 0 && $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
  "$tools/logged.sh" apt-get "$tools/install.sh" "${install[@]}" || true
fi

hash -r
failed=0
for need in "${missing[@]}"; do
  look "$need" && continue
  [[ ! $package ]] || how=("apt-get install --no-install-recommends $package")
  {
    printf 'missing: %s\n  found:   %s\n' "$what" "${found:-none}"
    printf '  install: %s\n' "${how[@]}"
  } | fold --spaces --width=80 >&2
  failed=1
done
exit "$failed"
