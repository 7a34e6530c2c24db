#!/usr/bin/env bash
# Pushes what `make release` has made, and signs it.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: publish.sh VERSION

Takes target/release/VERSION, whose install.yaml names the image. Pushes the image,
and the chart to charts/ beside it, each with the tag VERSION. Signs both by their
digests, and SHA256SUMS as a file; adds provenance and SBOM to the image as signed
attestations.

COSIGN_KEY is a file or an address of a key, COSIGN_PASSWORD its password. Without
a key cosign signs by the identity of whoever is logged in. COSIGN_FLAGS are further
flags for cosign sign, attest and sign-blob. The login is the one of docker, or
REGISTRY_USER and REGISTRY_PASSWORD.
TEXT
}

case ${1-} in
  '' | -h | --help) usage && exit ;;
esac
version=$1

cd "$(dirname "$0")/../.."
[[ ! -f ${COSIGN_KEY-} ]] || COSIGN_KEY=$(realpath "$COSIGN_KEY")
python=$PWD/target/venv/bin/python
push=$PWD/envoyfilter/image/push.py
cd "target/release/$version" || {
  echo "publish.sh: first make release VERSION=$version" >&2
  exit 1
}
sha256sum --check --quiet SHA256SUMS
image=$(sed -n 's|.*url: &url oci://||p' install.yaml)
name=${image%@*}
charts=${name%/*}/charts

read -ra flags <<<"${COSIGN_FLAGS-}"
flags+=(--yes)
[[ ! ${COSIGN_KEY-} ]] || flags+=(--key "$COSIGN_KEY")

temporary=$(mktemp --directory)
trap 'rm -rf "$temporary"' EXIT
if [[ ${REGISTRY_USER-} && ${REGISTRY_PASSWORD-} ]]; then
  login=$(printf '%s' "$REGISTRY_USER:$REGISTRY_PASSWORD" | base64 --wrap=0)
  printf '{"auths": {"%s": {"auth": "%s"}}}' "${name%%/*}" "$login" \
    >"$temporary/config.json"
  export DOCKER_CONFIG=$temporary HELM_REGISTRY_CONFIG=$temporary/config.json
fi
mkdir "$temporary/image"
tar --extract --file "bluegreen-$version.oci.tar" --directory "$temporary/image"
pushed=$("$python" "$push" --image "$temporary/image" "$name:$version")
echo "$pushed"
[[ $pushed == "url: oci://$image" ]] || {
  echo "publish.sh: install.yaml has another digest" >&2
  exit 1
}

# The predicate alone: the subject is the image.
"$python" -c 'import json, sys; print(json.dumps(json.load(sys.stdin)["predicate"]))' \
  <provenance.json >"$temporary/provenance.json"
cosign sign "${flags[@]}" "$image"
cosign attest "${flags[@]}" --type slsaprovenance1 \
  --predicate "$temporary/provenance.json" "$image"
cosign attest "${flags[@]}" --type cyclonedx --predicate bluegreen.cdx.json "$image"

helm push "bluegreen-$version.tgz" "oci://$charts" 2>&1 | tee "$temporary/helm"
digest=$(sed -n 's/^Digest: //p' "$temporary/helm")
cosign sign "${flags[@]}" "$charts/bluegreen@$digest"

cosign sign-blob "${flags[@]}" --bundle SHA256SUMS.sigstore.json SHA256SUMS
echo "signed: $image"
echo "signed: $charts/bluegreen@$digest"
echo "signed: target/release/$version/SHA256SUMS"
