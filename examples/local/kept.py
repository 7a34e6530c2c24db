"""`KEEP=1`: the mesh stays, for a browser, curl, and changing the weights by hand."""

import re
import time
from pathlib import Path
from textwrap import shorten

from mesh import DOCS, ROOT, ROUTES, STOCK, Mesh
from show import console

POLL_SECONDS = 0.2
MOST_LETTERS = 320


def keep(mesh: Mesh) -> None:
    """Runs until Ctrl-C, and gives Envoy each new version of the file of routes."""
    file = ROUTES.relative_to(ROOT)
    console.print(f"""
It keeps running. Ctrl-C ends it.

  In a browser   [bold]{mesh.url}/[/]
  Pin yourself   [bold]{mesh.url}/?version-pin=green[/]   (none: no longer)
  Services       [bold]http://{mesh.authority(STOCK)}/[/]
  Not part of it [bold]http://{mesh.authority(DOCS)}/[/]
  With curl      [bold]curl -si -H 'x-version-pin: green' {mesh.authority()}/json[/]
  The counters   [bold]curl -s {mesh.admin_url}/stats | grep bluegreen[/]

  Change the two weights of shop in [bold]{file}[/] and save.
""")
    seen = _state(ROUTES)
    while True:
        time.sleep(POLL_SECONDS)
        now = _state(ROUTES)
        if now == seen:
            continue
        seen = now
        try:
            _apply(mesh)
        except (OSError, RuntimeError) as error:
            console.print(f"  {error}")


def _apply(mesh: Mesh) -> None:
    if mesh.apply(ROUTES.read_text()):
        console.print("  Envoy took the new routes.")
        return
    said = re.findall(r"Filesystem config update .*", mesh.gateway.tail())
    console.print("  [red]Envoy keeps the old routes.[/] It says:")
    # It ends with the whole configuration.
    reason = shorten((said or ["nothing"])[-1], MOST_LETTERS, placeholder=" …")
    console.print(f"  {reason}", markup=False)


def _state(file: Path) -> tuple[int, int] | None:
    """What changes when somebody saves; None while the file is away."""
    try:
        stat = file.stat()
    except FileNotFoundError:
        return None
    return stat.st_mtime_ns, stat.st_size
