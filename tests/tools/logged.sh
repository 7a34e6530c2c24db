#!/usr/bin/env bash
# Runs a command with its output in a file: one line on the screen, more on failure.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: logged.sh [--show REGEX] NAME COMMAND [ARGUMENTS]

Runs COMMAND with its output in target/logs/NAME.log. Prints one line that says
how it went and how long it took, then the lines of the output that match REGEX
(extended). If it fails: the end of the output, and its exit code.
V=1 prints everything as it comes.
TEXT
}

show=
case ${1:-} in
  '' | -h | --help) usage && exit ;;
  --show) show=$2 && shift 2 ;;
esac
name=$1
shift

if [[ ${V:-} == 1 ]]; then
  exec "$@"
fi

log=target/logs/$name.log
mkdir -p "$(dirname "$log")"
: >"$log"
SECONDS=0

# On a terminal: the seconds and the last line, until the command ends.
watch() {
  while sleep 1; do
    printf '\r\033[K%-14s %4d s  %s' "$name" "$SECONDS" \
      "$(tail -n 1 "$log" | tr -cd '[:print:]' | cut -c 1-55)" >&2
  done
}

if [[ -t 2 ]]; then
  watch &
  watcher=$!
  trap 'kill "$watcher" 2>/dev/null || true; printf "\r\033[K" >&2' EXIT
else
  printf '%-14s ...  %s\n' "$name" "$log" >&2
fi

status=0
"$@" >"$log" 2>&1 </dev/null || status=$?

if [[ -t 2 ]]; then
  kill "$watcher" 2>/dev/null || true
  wait "$watcher" 2>/dev/null || true
  printf '\r\033[K' >&2
  trap - EXIT
fi
if [[ $status == 0 ]]; then
  printf '%-14s ok, %d s\n' "$name" "$SECONDS"
  if [[ $show ]]; then
    grep -E "$show" "$log" || true
  fi
else
  printf '%-14s FAILED, %d s; the end of %s:\n' "$name" "$SECONDS" "$log"
  tail -n 60 "$log"
fi
exit "$status"
