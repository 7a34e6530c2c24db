#!/usr/bin/env bash
# Builds programs that releases and tests need, out of Go modules.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: go-install.sh PROGRAM...

Builds each PROGRAM below target/go, unless it is there in its version: argo-rollouts,
cosign, flagger, flagger-loadtester, helm (version 4), helm-3, kubeconform.
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

# Controllers of others. Their modules have `replace` lines, or ask for more than one of
# the versions that are around, so that each has a go.mod of its own here, and its sums.
declare -A packages=(
  [argo-rollouts]=github.com/argoproj/argo-rollouts/cmd/rollouts-controller
  [flagger]=github.com/fluxcd/flagger/cmd/flagger
  [flagger-loadtester]=github.com/fluxcd/flagger/cmd/loadtester
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

is_built() { # PROGRAM VERSION
  go version -m "$to/$1" 2>/dev/null |
    grep --quiet --perl-regexp "^\tmod\t\S+\t$2\t"
}

controller() { # PROGRAM: builds it unchanged, by its go.mod
  local folder=tests/e2e/controllers/${1%-loadtester} package=${packages[$1]}
  local version
  version=$(go list -C "$folder" -m -f '{{.Version}}' "${package%%/cmd/*}")
  is_built "$1" "$version" && return
  go build -C "$folder" -ldflags '-s -w' -o "$new/$1" "$package"
  mv "$new/$1" "$to/$1"
}

for program in "$@"; do
  if [[ ${packages[$program]-} ]]; then
    controller "$program"
    continue
  fi
  module=${modules[$program]-}
  if [[ ! $module ]]; then
    echo "go-install.sh: unknown: $program" >&2
    exit 2
  fi
  is_built "$program" "${module#*@}" && continue
  go install -ldflags "-s -w ${flags[$program]-}" "$module"
  name=${module%@*}
  mv "$new/${name##*/}" "$to/$program"
done
