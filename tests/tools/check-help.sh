#!/usr/bin/env bash
# Each target of the Makefile has its line in `make help`, on 80 columns.
set -euo pipefail

if [[ $# -gt 0 ]]; then
  echo "usage: check-help.sh
Fails if a target has no line in \`make help\`, or a line is too long."
  [[ $1 == --help ]] && exit || exit 2
fi

cd "$(dirname "$0")/../.."
help=$(make --no-print-directory help)
failed=0
while read -r target; do
  if ! grep -Eq "^  $target +[^ ]" <<<"$help"; then
    echo "make help does not tell what '$target' does: write '$target: ## ...'"
    failed=1
  fi
done < <(sed -n 's/^\.PHONY: //p' Makefile)
if grep -E '^.{81}' <<<"$help"; then
  echo "wider than 80 columns"
  failed=1
fi
exit "$failed"
