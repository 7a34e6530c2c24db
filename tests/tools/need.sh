#!/usr/bin/env bash
# Says what is missing on this machine, and how to get it.
set -euo pipefail

if [[ ${1:-} == --help || $# == 0 ]]; then
  echo "usage: need.sh cargo|cc|python|buildah|skopeo|curl|docker-registry|
  prometheus|kubectl|KUBECONFIG|valgrind|h2load...

Fails if one of them is missing or too old: says the version that is wanted, the
one that was found, and the command that installs it. KUBECONFIG is the variable."
  exit
fi

rust=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$(dirname "$0")/../../Cargo.toml")
python=3.11

missing() { # WHAT FOUND HOW...
  printf 'missing: %s\n  found:   %s\n' "$1" "$2" >&2
  shift 2
  printf '  install: %s\n' "$@" >&2
  exit 1
}

check() { # WHAT WANTED FOUND HOW...
  local oldest
  oldest=$(printf '%s\n' "$2" "${3:-0}" | sort --version-sort | head -n 1)
  if [[ $oldest != "$2" ]]; then
    missing "$1 $2 or later" "${3:-none}" "${@:4}"
  fi
}

version() { # COMMAND...
  "$@" 2>/dev/null | grep --only-matching --extended-regexp '[0-9]+(\.[0-9]+)+' |
    head -n 1 || true
}

for need in "$@"; do
  case $need in
    cargo)
      check cargo "$rust" "$(version cargo --version)" \
        'https://rustup.rs, then: rustup toolchain install stable' \
        'or (Debian, as root): apt-get install rustc-web cargo-web'
      ;;
    cc)
      command -v cc >/dev/null ||
        missing 'a C compiler (cc), to link Rust programs' none 'apt-get install gcc libc6-dev'
      ;;
    python)
      check python3 "$python" "$(version python3 --version)" \
        'apt-get install python3 python3-venv'
      python3 -c 'import ensurepip' 2>/dev/null ||
        missing "python3's modules venv and ensurepip" "$(python3 --version) without them" \
          'apt-get install python3-venv'
      ;;
    buildah)
      check buildah 1.28 "$(version buildah --version)" 'apt-get install buildah'
      ;;
    skopeo)
      check skopeo 1.9 "$(version skopeo --version)" 'apt-get install skopeo'
      ;;
    valgrind)
      check valgrind 3.19 "$(version valgrind --version)" 'apt-get install valgrind'
      ;;
    h2load)
      # --rps and --log-file.
      check h2load 1.43 "$(version h2load --version)" 'apt-get install nghttp2-client'
      ;;
    curl | docker-registry)
      command -v "$need" >/dev/null || missing "$need" none "apt-get install $need"
      ;;
    prometheus)
      check prometheus 2.42 "$(version prometheus --version)" \
        'apt-get install --no-install-recommends prometheus'
      command -v promtool >/dev/null || missing promtool none 'it comes with prometheus'
      ;;
    kubectl)
      check kubectl 1.30 "$(version kubectl version --client)" \
        'https://kubernetes.io/docs/tasks/tools/'
      ;;
    KUBECONFIG)
      if [[ ! ${KUBECONFIG-} ]]; then
        echo 'missing: KUBECONFIG, the file of a cluster with Istio
  found:   none; ~/.kube/config is not taken unasked: e2e changes the whole mesh
  set it:  export KUBECONFIG=FILE, of a cluster for tests' >&2
        exit 1
      fi
      ;;
    *)
      echo "need.sh: unknown: $need" >&2
      exit 2
      ;;
  esac
done
