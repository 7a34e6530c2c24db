#!/usr/bin/env bash
# Runs targets of make in a new Debian that has what the README lists, and no more.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: test-fresh.sh TARGET...

Makes a Debian of this machine's release in target/fresh, with git, make, a C and C++
compiler and Python out of Debian's packages, and with rustup and its toolchains of this
machine, but for wasm32-wasip1. Clones the last commit into it, and runs `make TARGET`
there for each. It has its own processes and mounts, which end with it, and this
machine's network. What this machine's package clients are configures_clients (sources, proxies,
certificates), those inside are configures_clients as well.
Needs root, who may mount, and debootstrap. The logs are left in target/logs/fresh.
TEXT
}

packages=(ca-certificates gcc g++ git libc6-dev make python3 python3-pip python3-venv)
# Not on the list; looked for, so that nobody puts them there unnoticed.
unlisted=(buildah chromium curl docker docker-registry go node prometheus skopeo wget)
home=/root
project=/bluegreen

tools=$(cd "$(dirname "$0")" && pwd)
here=$(cd "$tools/../.." && pwd)
fresh=$here/target/fresh
root=$fresh/root

say() { printf '%-14s %s\n' fresh "$*"; }
fail() {
  printf '%s\n' "test-fresh.sh: $1" >&2
  exit 1
}

# ------------------------------------------------- outside: begins it, and cleans up

begin() { # TARGET...
  [[ $(id -u) == 0 ]] || fail 'needs root, to mount and to chroot'
  unshare --mount true 2>/dev/null || fail 'needs root who may mount: not so here'
  command -v rustup >/dev/null || fail 'no rustup, whose cargo is used'
  [[ $(debian) ]] || apt-get -q update &>/dev/null || true
  [[ $(debian) ]] || fail 'no Debian'
  git -C "$here" diff --quiet HEAD || say 'what is not committed is not tested'
  mkdir -p "$here/target"
  exec {lock}>"$here/target/fresh.lock"
  flock --nonblock "$lock" || fail 'runs already, in this folder'
  trap end EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  clear
  mkdir -p "$root"
  git clone --quiet --no-hardlinks "$here" "$fresh/project"
  # A group of processes of its own: bash looks at a signal only when what runs in the
  # foreground has ended.
  set -m
  unshare --mount --pid --fork --kill-child -- "$0" --inside "$@" \
    </dev/null {lock}>&- &
  inside=$!
  set +m
  wait "$inside"
}

end() {
  local status=$? first
  trap - EXIT
  trap '' INT TERM
  if [[ ${inside-} ]]; then
    # With the first of its processes all of them end, and with them the mounts.
    first=$(tr -d ' ' 2>/dev/null <"/proc/$inside/task/$inside/children" || true)
    kill -KILL "$inside" 2>/dev/null || true
    wait "$inside" 2>/dev/null || true
    while [[ $first && -e /proc/$first ]]; do
      sleep 0.1
    done
  fi
  rm -rf "$here/target/logs/fresh"
  if [[ -d $root$project/target/logs ]]; then
    mkdir -p "$here/target/logs"
    cp -r "$root$project/target/logs" "$here/target/logs/fresh"
    say 'its logs: target/logs/fresh'
  fi
  clear
  [[ $status == 0 ]] || say "FAILED (exit code $status)"
  exit "$status"
}

clear() {
  # Never through a mount, not even one that somebody else made.
  rm -rf --one-file-system "$fresh"
}

debian() { # this machine's sources: lines of address, release and component
  apt-get indextargets --format "\$(REPO_URI) \$(RELEASE) \$(COMPONENT)" \
    'Created-By: Packages' 'Origin: Debian' 2>/dev/null
}

# --------------------------------------------- inside: makes the machine, and runs make

inside() { # TARGET...
  local target
  SECONDS=0
  "$tools/logged.sh" debootstrap "$0" --debootstrap
  configure
  for program in "${unlisted[@]}"; do
    if within bash -c "command -v $program"; then
      fail "the new machine has $program"
    fi
  done
  say "Debian $(<"$root/etc/debian_version"), after $SECONDS s"
  check_without_rights
  for target in "$@"; do
    say "make $target, after $SECONDS s"
    within make --no-print-directory -C "$project" "$target" V="${V-}"
  done
  say "passed, after $SECONDS s"
}

debootstrap_() {
  local address included release
  release=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
  address=$(debian | sed -n "s/ $release main\$//p")
  [[ $address ]] || fail "no source of Debian's $release"
  included=$(IFS=, && echo "${packages[*]}")
  debootstrap --variant=minbase --include="$included" "$release" "$root" "$address"
}

configure() { # what a machine has besides its packages
  mount -t proc proc "$root/proc"
  mount --rbind /dev "$root/dev"
  mount --rbind /sys "$root/sys"
  # No service starts when a package is installed, as in any container.
  printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
  chmod +x "$root/usr/sbin/policy-rc.d"

  cp --dereference /etc/resolv.conf /etc/hosts "$root/etc/"
  debian | sed 's/^/deb /' >"$root/etc/apt/sources.list"
  apt-config dump --format '%F "%v";%n' Acquire |
    grep -iE '^Acquire::(https?|Check-|ForceIP|Retries)' \
      >"$root/etc/apt/apt.conf.d/99machine" || true
  cp -r /etc/apt/auth.conf.d "$root/etc/apt/" 2>/dev/null || true

  local file variable
  for file in /etc/pip.conf ~/.pip/pip.conf ~/.config/pip/pip.conf; do
    take "$file" "$root${file/#$HOME/$home}"
  done
  for file in /usr/local/share/ca-certificates/*.crt; do
    take "$file" "$root$file"
  done
  within update-ca-certificates &>/dev/null
  for variable in $(compgen -e); do
    if [[ ${!variable} == /* && -f ${!variable} ]] && configures_clients "$variable"; then
      [[ -e $root${!variable} ]] || take "${!variable}" "$root${!variable}"
    fi
  done

  local cargo=${CARGO_HOME:-$HOME/.cargo} rustup name directory
  rustup=$(rustup show home)
  for file in config.toml config; do
    take "$cargo/$file" "$root$home/.cargo/$file"
  done
  take "$(command -v rustup)" "$root$home/.cargo/bin/rustup"
  for name in cargo cargo-clippy cargo-fmt clippy-driver rustc rustdoc rustfmt; do
    ln -s rustup "$root$home/.cargo/bin/$name"
  done
  mkdir "$root$home/.rustup"
  mount --bind --options ro "$rustup" "$root$home/.rustup"
  # A new rustup has no target but this machine's own.
  for directory in "$root$home"/.rustup/toolchains/*/lib/rustlib/wasm32-*; do
    [[ ! -d $directory ]] || mount -t tmpfs none "$directory"
  done

  mv "$fresh/project" "$root$project"
}

take() { # FILE COPY: if there is one
  [[ -f $1 ]] || return 0
  mkdir -p "$(dirname "$2")"
  cp "$1" "$2"
}

configures_clients() { # VARIABLE: whether it tells package clients where and how to fetch
  [[ $1 =~ ^(PIP_|CARGO_(HTTP|NET|REGISTR|SOURCE)|SSL_CERT_|.*_CA_(BUNDLE|CERTS)$) ||
    $1 =~ _(proxy|PROXY)$ ]]
}

within() { # COMMAND...: on the new machine
  local variable settings=()
  for variable in $(compgen -e); do
    if configures_clients "$variable"; then
      settings+=("$variable=${!variable}")
    fi
  done
  chroot ${user:+--userspec="$user"} "$root" /usr/bin/env --ignore-environment \
    HOME="$home" LANG=C.UTF-8 TERM="${TERM-dumb}" "${settings[@]}" \
    PATH="$home/.cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
    "$@"
}

check_without_rights() { # as a user who may install nothing, and has no Rust
  local said what began=$SECONDS
  if said=$(user=nobody:nogroup within make --no-print-directory -C "$project" test 2>&1); then
    fail 'make test passed without anything'
  fi
  for what in 'cargo' 'a Chromium' 'docker-registry' 'prometheus' 'a Rust'; do
    grep -q "^missing: $what" <<<"$said" || fail "make test does not tell: $what
$said"
  done
  [[ $((SECONDS - began)) -le 5 ]] || fail 'make test takes too long to say what is missing'
  say 'make test of a user who may install nothing says all that is missing, at once'
}

case ${1:-} in
  '' | -h | --help) usage ;;
  --debootstrap) debootstrap_ ;;
  --inside) shift && inside "$@" ;;
  *) begin "$@" ;;
esac
