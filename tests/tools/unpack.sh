#!/usr/bin/env bash
# Unpacks Debian's packages below target/debian: needs no root, changes nothing outside,
# and starts no service, as their installation would.
set -euo pipefail

if [[ $# == 0 || $1 == --help ]]; then
  echo "usage: unpack.sh PACKAGE...

Downloads packages of Debian, without those that they depend on, and unpacks them
into target/debian. For programs that need no more than the C library."
  exit
fi

cd "$(dirname "$0")/../.."
work=$PWD/target/apt
mkdir -p "$work"/{lists,cache/archives}/partial "$work/packages" target/debian
# Lists and a cache of our own: those of the system may be old, and are root's.
options=(-q -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache"
  -o APT::Sandbox::User=root)
apt-get "${options[@]}" update
(cd "$work/packages" && apt-get "${options[@]}" download "$@")
for package in "$work"/packages/*.deb; do
  dpkg-deb --extract "$package" target/debian
done
rm -rf "$work"
