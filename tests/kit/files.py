"""Files that a running Envoy watches."""

import json
from pathlib import Path
from typing import Any


def replace(path: Path, content: str | bytes | dict[str, Any]) -> None:
    """Puts new content in place of `path` in one step; a dict is written as JSON.

    Envoy watches for files that are moved into place: it does not see a write.
    """
    if isinstance(content, dict):
        content = json.dumps(content, indent=1)
    if isinstance(content, str):
        content = content.encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".new")
    beside.write_bytes(content)
    beside.replace(path)
