#!/usr/bin/env bash
# Runs a command with its output in a file: one line on the screen, more on failure.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: logged.sh [--show REGEX | --live] NAME COMMAND [ARGUMENTS]

Runs COMMAND with its output in target/logs/NAME.log. Prints one line that says
how it went and how long it took, then the lines of the output that match REGEX
(extended). If it fails: the end of the output, and its exit code.
--live prints everything as it comes, and keeps it as well; V=1 keeps nothing.
TEXT
}

show=
live=
case ${1:-} in
  '' | -h | --help) usage && exit ;;
  --show) show=$2 && shift 2 ;;
  --live) live=1 && shift ;;
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
status=0

if [[ $live ]]; then
  # Ctrl-C goes to all of them. The command says how it cleans up, so tee has to stay:
  # without a reader its next line would end it.
  "$@" 2>&1 </dev/null | tee -i "$log" || status=$?
  printf '%-14s %s, %d s; all of it is in %s\n' "$name" \
    "$([[ $status == 0 ]] && echo ok || echo FAILED)" "$SECONDS" "$log"
  exit "$status"
fi

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
