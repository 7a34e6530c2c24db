#!/usr/bin/env bash
# Pushes target/image to a registry, and says the url for a WasmPlugin.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: push.sh [--check] REGISTRY/NAME:TAG

Pushes the image that image.sh has left in target/image, byte for byte, and
prints the url that a WasmPlugin fetches it by: with its digest, so that what
runs does not change when the tag does.
--check pushes nothing, and wants no image: it looks at the name only.
TLS_VERIFY=false allows plain HTTP, and certificates that nobody vouches for.
To log in: skopeo login REGISTRY
TEXT
}

fail() {
  printf '%s\n' "$@" | fold --spaces --width=80 >&2
  exit 1
}

check=
if [[ ${1-} == --check ]]; then
  check=1
  shift
fi
if [[ $# != 1 || $1 == --help ]]; then
  usage
  [[ ${1-} == --help ]] && exit || exit 2
fi
image=$1

cd "$(dirname "$0")/../.."
example='make push IMAGE=registry.example/bluegreen:0.1.0'
# A first part without a dot or a port could be a name on Docker Hub.
host='localhost|[^/]*[.:][^/]*'
if [[ -z $image ]]; then
  fail 'where to? Write the registry, a name and a tag:' "  $example"
elif [[ ! $image =~ ^($host)/[^:@]+:[^:@/]+$ ]]; then
  fail "IMAGE=$image is not REGISTRY/NAME:TAG, as in" "  $example"
elif [[ ! ${TLS_VERIFY:-true} =~ ^(true|false)$ ]]; then
  fail "TLS_VERIFY=$TLS_VERIFY is neither true nor false"
elif [[ $check ]]; then
  exit
elif [[ ! -e target/image/index.json ]]; then
  fail 'there is no target/image: make image'
fi
registry=${image%%/*}

work=$(mktemp --directory)
trap 'rm -rf "$work"' EXIT
if ! skopeo copy --quiet --preserve-digests --digestfile "$work/digest" \
  --dest-tls-verify="${TLS_VERIFY:-true}" oci:target/image "docker://$image" \
  2>"$work/errors"; then
  # Without what surrounds it: time="..." level=fatal msg="... at destination: ..."
  error=$(sed 's/^time="[^"]*" level=[a-z]* msg="\(.*\)"$/\1/
    s/\\"/"/g; s/\\[nt]/ /g; s/^.* at destination: //' "$work/errors")
  case $error in
    *'HTTP response to HTTPS client'* | *x509:*)
      hint='to push there all the same: TLS_VERIFY=false' ;;
    *unauthorized* | *'resource is denied'* | *'authentication required'* | *Forbidden*)
      hint="log in as one who may push: skopeo login $registry" ;;
    *) hint= ;;
  esac
  fail "$registry did not take the image:" "$error" ${hint:+"$hint"}
fi
echo "url: oci://${image%:*}@$(<"$work/digest")"
