#!/usr/bin/env bash
# Builds the OCI image that Istio pulls, and says its name, digest and size.
set -euo pipefail

if [[ $# -gt 0 ]]; then
  echo "usage: image.sh

Builds the image of target/bluegreen.wasm into the OCI layout target/image. Its
digest depends on the module, the package section of Cargo.toml, SOURCE and the
version of buildah; not on the folder, the time or the user.
SOURCE is the address of the source code, for its label; if it is not set, the
\`repository\` of Cargo.toml."
  [[ $1 == --help ]] && exit || exit 2
fi

cd "$(dirname "$0")/../.."
image=target/image
work=$(mktemp --directory)
trap 'rm -rf "$work" "$image.new"' EXIT

package() { # KEY: its text in Cargo.toml; nothing if it is not there
  sed -n "/^\[package\]/,/^\[/s/^$1 = \"\(.*\)\"/\1/p" Cargo.toml
}

labels=()
label() { # NAME TEXT
  if [[ $2 ]]; then
    labels+=(--label "org.opencontainers.image.$1=$2")
  fi
}
name=$(package name):$(package version)
label title "$(package name)"
label description "$(package description)"
label version "$(package version)"
label licenses "$(package license)"
source=${SOURCE:-$(package repository)}
if [[ ! $source ]]; then
  echo 'image.sh: no label says where the source is; SOURCE=https://HOST/NAME does' >&2
fi
label source "$source"

build=(
  buildah --root "$work/root" --runroot "$work/run" --storage-driver vfs build
  # Istio takes only layers that are compressed.
  --disable-compression=false
  # Dates, and what else could differ: the version of buildah and the history,
  # which depends on the user.
  --timestamp 0 --identity-label=false --omit-history
  # The module runs anywhere. This is what no tool refuses to pull, and it may
  # not depend on the machine.
  --os linux --arch amd64
  # https://github.com/solo-io/wasm/blob/master/spec/spec-compat.md
  --annotation module.wasm.image/variant=compat
  "${labels[@]}"
  --file envoyfilter/image/Dockerfile
  --tag "oci:$image.new:$name"
  target
)
# Only these settings: no variable of the caller changes the image, and what
# buildah leaves in the home folder goes as well.
settings=(PATH="$PATH" HOME="$work" TMPDIR="$work")
if [[ $(id -u) == 0 ]]; then
  # Root in a container may not make user namespaces, and needs none here. This
  # tells buildah that it is in one already.
  settings+=(_CONTAINERS_ROOTLESS_UID=1)
fi
rm -rf "$image.new"
env --ignore-environment "${settings[@]}" "${build[@]}"

# The index of one image names one digest.
digest=$(grep --only-matching 'sha256:[0-9a-f]*' "$image.new/index.json")
size=$(cat "$image.new"/blobs/sha256/* | wc -c)
rm -rf "$image"
mv "$image.new" "$image"
echo "$image  $name, $size bytes"
echo "digest $digest"
