#!/usr/bin/env bash
# Builds programs that releases and their tests need, out of Go modules.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: go-install.sh PROGRAM...

Builds each PROGRAM below target/go, unless it is there in its version: cosign, helm
(version 4), helm-3, kubeconform.
TEXT
}

case ${1-} in
  '' | -h | --help) usage && exit ;;
esac

declare -A modules=(
  [cosign]=github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3
  [helm]=helm.sh/helm/v4/cmd/helm@v4.3.1
  [helm-3]=helm.sh/helm/v3/cmd/helm@v3.22.0
  [kubeconform]=github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0
)

# The Kubernetes that helm takes for the cluster's where there is none, as helm's own
# Makefile sets it; version 4 knows it by itself.
declare -A flags=(
  [helm-3]=$(printf -- '-X helm.sh/helm/v3/pkg/%s.k8sVersionMinor=37 ' chartutil lint/rules)
)

cd "$(dirname "$0")/../.."
to=$PWD/target/go
new=$to/new
export CGO_ENABLED=0 GOBIN=$new GOFLAGS=-trimpath
for program in "$@"; do
  module=${modules[$program]-}
  if [[ ! $module ]]; then
    echo "go-install.sh: unknown: $program" >&2
    exit 2
  fi
  version=${module#*@}
  go version -m "$to/$program" 2>/dev/null |
    grep --quiet --perl-regexp "^\tmod\t\S+\t$version\t" && continue
  go install -ldflags "-s -w ${flags[$program]-}" "$module"
  name=${module%@*}
  mv "$new/${name##*/}" "$to/$program"
done
