#!/usr/bin/env bash
# The command for pipelines of docs/configuration.md does what the page says.
set -euo pipefail

if [[ $# -gt 0 ]]; then
  echo "usage: test-kubeconform.sh

Runs the command of docs/configuration.md and compares what it says, then runs it on
all manifests, and on a wrong one. Needs kubeconform: go-install.sh builds it."
  [[ $1 == --help ]] && exit || exit 2
fi

cd "$(dirname "$0")/../.."
PATH=$PATH:$PWD/target/go

block=$(sed -n '/^<!-- run by: make test-kubeconform -->$/,/^```$/p' docs/configuration.md | sed '1,2d;$d')
command=$(head -n 1 <<<"$block")
diff <(tail -n +2 <<<"$block") <(bash -c "${command#\$ }")

schema=envoyfilter/schema/manifest.schema.json
mapfile -t manifests < <(grep -lr '^kind: ' envoyfilter --include='*.yaml')
kubeconform -summary -schema-location "$schema" "${manifests[@]}"

wrong=$(mktemp --suffix .yaml)
trap 'rm -f "$wrong"' EXIT
for plugins in envoyfilter/plugins.yaml envoyfilter/traffic-extension/plugins.yaml; do
  sed 's/role: outbound/role: edge/' "$plugins" >"$wrong"
  if said=$(kubeconform -schema-location "$schema" "$wrong"); then
    echo "FAILED: a wrong $plugins passed"
    exit 1
  fi
  grep -F "pluginConfig/role': value must be one of 'auto', 'outbound'" <<<"$said"
done
echo "kubeconform says what the page says"
