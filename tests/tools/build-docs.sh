#!/usr/bin/env bash
# Builds the site of the pages for people, by mdBook.
set -euo pipefail

version=0.5.4

if [[ $# -gt 0 ]]; then
  echo "usage: build-docs.sh

Builds target/docs/site of the pages that docs/SUMMARY.md lists. The site has the
folders of the project, so that links between them lead to the same places in both.
mdBook $version is installed below target, from crates.io: that takes minutes, once."
  [[ $1 == --help ]] && exit || exit 2
fi

# What the pages link to besides each other. (test-links.sh fails if something lacks.)
files=(LICENSE docs/dashboard.svg envoyfilter examples/argo-rollouts
  examples/blue-green/app/blue/index.cgi examples/blue-green/istio examples/chain/k8s
  examples/flagger
  tests/budgets.yaml tests/kit/bucket.py tests/scenarios.yaml)

cd "$(dirname "$0")/../.."
tools=$PWD/target/tools
if [[ $("$tools/bin/mdbook" --version 2>/dev/null) != "mdbook v$version" ]]; then
  # Without what serves pages and watches them, which is most of it.
  cargo install --quiet --locked --root "$tools" --no-default-features \
    --features search "mdbook@$version"
fi

# SUMMARY.md names the pages from docs/ on, and mdBook from the folder that has it.
summary=$(sed -E 's|\]\(|](docs/|; s|\]\(docs/\.\./|](|' docs/SUMMARY.md)
mapfile -t pages < <(sed -n -E 's|.*\]\((.+)\)$|\1|p' <<<"$summary")
rm -rf target/docs
mkdir -p target/docs/pages
cp --parents --recursive "${pages[@]}" "${files[@]}" target/docs/pages
printf '%s\n' "$summary" >target/docs/pages/SUMMARY.md
cp docs/book.toml target/docs
"$tools/bin/mdbook" build target/docs
echo "target/docs/site  ${#pages[@]} pages"
