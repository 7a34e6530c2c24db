#!/usr/bin/env bash
# Each link of the pages leads to a file and, if it says so, to a heading in it.
set -euo pipefail

if [[ $# -gt 0 ]]; then
  echo "usage: test-links.sh

Checks the links of the Markdown files and of the site in target/docs, by lychee, but
for those that leave the project: no request is made. A link to a folder is an error,
for what a web server shows there is its own affair."
  [[ $1 == --help ]] && exit || exit 2
fi

cd "$(dirname "$0")/../.."
shopt -s globstar failglob
target/venv/bin/lychee --offline --include-fragments --index-files '' --no-progress -- \
  *.md {benches,docs,examples}/**/*.md target/docs/site/**/*.html
