#!/usr/bin/env bash
# Sees to it that there is a Chromium for the browser tests.
set -euo pipefail

if [[ $# -gt 0 ]]; then
  echo "usage: chromium.sh
Installs Debian's chromium if there is none and this is root; else says how."
  [[ $1 == --help ]] && exit || exit 2
fi

for name in chromium chromium-browser google-chrome; do
  if command -v "$name" >/dev/null; then
    exit
  fi
done
if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
  export DEBIAN_FRONTEND=noninteractive
  apt-get -q update
  apt-get -q -y --no-install-recommends install chromium && exit
fi
echo 'missing: a Chromium, for the browser tests
  install: apt-get install chromium' >&2
exit 1
