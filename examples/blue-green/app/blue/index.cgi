#!/bin/sh
# Answers `/`: who served it, and why. A browser gets page.html, others a line of
# text. SERVICE is this service's name, BEHIND the URL of one that it calls. With FAIL it
# is a release that is broken: it starts, and fails at what users ask.

pin=$HTTP_X_VERSION_PIN bucket=$HTTP_X_BLUEGREEN_BUCKET
case $bucket in *[!0-9]*) bucket= ;; esac # from strangers, without the filter

# The weights sum to 100, so the last two digits of the bucket decide.
digits=${bucket:+0$bucket}
digits=${digits#"${digits%??}"}
digits=${digits#0}

if [ "$pin" = "$VERSION" ]; then
  why="pinned"
elif [ "$bucket" ]; then
  why="bucket $digits"
else
  why="by chance"
fi

# The services behind see the same user and the same pin only if each service
# forwards these headers, as it does with those of tracing.
forward() {
  set --
  [ "$pin" ] && set -- "$@" --header "x-version-pin: $pin"
  [ "$bucket" ] && set -- "$@" --header "x-bluegreen-bucket: $bucket"
  [ "$HTTP_X_USER_ID" ] && set -- "$@" --header "x-user-id: $HTTP_X_USER_ID"
  [ "$HTTP_X_REQUEST_ID" ] && set -- "$@" --header "x-request-id: $HTTP_X_REQUEST_ID"
  [ "$HTTP_TRACEPARENT" ] && set -- "$@" --header "traceparent: $HTTP_TRACEPARENT"
  timeout 5 wget -q -O - "$@" "$BEHIND" 2>/dev/null || echo "no answer from $BEHIND"
}
behind=${BEHIND:+$(forward)}

if [ "$FAIL" ]; then
  printf 'Status: 500 Internal Server Error\r\nContent-Type: text/plain\r\n\r\n'
  echo "$SERVICE $VERSION ($why), $FAIL"
  exit
fi

case $HTTP_ACCEPT in
  *text/html*)
    printf 'Content-Type: text/html; charset=utf-8\r\n\r\n'
    sed "s|@why@|$why|; s|@bucket@|$digits|; s|@behind@|$behind|" /app/page.html
    ;;
  *)
    printf 'Content-Type: text/plain\r\n\r\n'
    echo "$SERVICE $VERSION ($why)${behind:+, $behind}"
    ;;
esac
