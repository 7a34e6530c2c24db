"""An application in a version, such as `blue` or `stock-green`, or in the only one.

`python3 app.py blue 18086`: `/json` says which version answers and what it was told
about the user; every other path is a page in the version's colour that says the same.
"""

import json
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COLOURS = {"blue": ("#1d4ed8", "#60a5fa"), "green": ("#15803d", "#4ade80")}
GREY = ("#334155", "#94a3b8")

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{version}</title>
<style>
  * {{ box-sizing: border-box }} [hidden] {{ display: none !important }}
  body {{ margin: 0; min-height: 100vh; display: grid; place-items: center;
    font: 18px/1.5 system-ui, sans-serif; color: #fff;
    background: radial-gradient(circle at 30% 20%, {light}, {dark} 65%) }}
  main {{ width: min(36rem, 92vw); padding: 2.5rem; border-radius: 1.25rem;
    background: rgb(0 0 0 / .28); box-shadow: 0 1.5rem 4rem rgb(0 0 0 / .3) }}
  h1 {{ margin: 0; font-size: 4.5rem; line-height: 1; letter-spacing: -.03em }}
  p {{ margin: .75rem 0 0 }}
  .bar {{ position: relative; height: 1rem; margin: 2rem 0 .4rem; border-radius: 1rem;
    background: rgb(255 255 255 / .22) }}
  .bar i {{ position: absolute; top: -.35rem; left: calc({place}% - .85rem);
    width: 1.7rem; height: 1.7rem; border-radius: 50%; background: #fff;
    box-shadow: 0 .25rem 1rem rgb(0 0 0 / .4) }}
  .ends {{ display: flex; justify-content: space-between; opacity: .75;
    font-size: .9rem }}
  nav {{ margin-top: 2rem; display: flex; flex-wrap: wrap; gap: .6rem }}
  a {{ color: #fff; text-decoration: none; padding: .45rem 1rem; border-radius: 2rem;
    border: 1px solid rgb(255 255 255 / .5) }}
</style></head>
<body data-version="{version}" data-bucket="{bucket}"><main>
  <h1>{version}</h1>
  <p id="why">{why}</p>
  <div class="bar" {hidden}><i></i></div>
  <div class="ends" {hidden}><span>0 · blue's end</span><span>green's end · 99</span>
  </div>
  <nav><a href="/">reload</a><a href="/?version-pin=green">pin green</a>
  <a href="/?version-pin=blue">pin blue</a><a href="/?version-pin=none">unpin</a></nav>
</main></body></html>
"""


class Application(BaseHTTPRequestHandler):
    """One connection of a caller, kept alive."""

    protocol_version = "HTTP/1.1"
    version = "blue"

    def do_GET(self) -> None:
        """The page, or what it says as JSON."""
        bucket = self.headers.get("x-bluegreen-bucket")
        pin = self.headers.get("x-version-pin")
        if self.path.partition("?")[0] == "/json":
            told = {"version": self.version, "bucket": bucket, "pin": pin}
            self._answer("application/json", json.dumps(told) + "\n")
        else:
            self._answer("text/html; charset=utf-8", self._page(bucket, pin))

    def _page(self, bucket: str | None, pin: str | None) -> str:
        colour = self.version.rpartition("-")[2]
        # A weight is a share of 100 here, so the last two digits decide.
        place = int(bucket) % 100 if bucket else None
        if colour not in COLOURS:
            why = "of which there is one version, for everybody."
        elif pin == colour:
            why = f"because you pinned {pin}, whatever the weights are."
        elif place is not None:
            why = f"because your bucket is {place}, and {self.version} has it now."
        else:
            why = "by chance: nobody said who you are."
        dark, light = COLOURS.get(colour, GREY)
        return PAGE.format(
            version=self.version,
            why=why,
            dark=dark,
            light=light,
            bucket="" if place is None else place,
            place=(place or 0) + 0.5,
            hidden="hidden" if place is None else "",
        )

    def _answer(self, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: the proxies count."""


class Server(ThreadingHTTPServer):
    """Connections of a whole mesh at once."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *request: object) -> None:
        """Nothing when a proxy stops in the middle of a request."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(*request)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: app.py VERSION PORT")
    Application.version = sys.argv[1]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    Server(("127.0.0.1", int(sys.argv[2])), Application).serve_forever()
