#!/usr/bin/env bash
# Installs Debian's packages. For root.
set -euo pipefail

if [[ $# == 0 || $1 == --help ]]; then
  echo "usage: install.sh PACKAGE...

Installs packages of Debian, and waits while another apt-get installs some."
  exit
fi

export DEBIAN_FRONTEND=noninteractive
apt-get -q update
# Never in the place of something that is there.
apt-get -q -y --no-remove --no-install-recommends -o DPkg::Lock::Timeout=300 install "$@"
