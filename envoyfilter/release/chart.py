"""Packs the chart as `helm package` does, with the image filled in.

helm writes the time of packing into its archive; this one depends on the source alone.
"""

import re
from pathlib import Path

import archive

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "charts/bluegreen"


def package(name: str, digest: str, time: int) -> bytes:
    """Returns the archive of the chart, for an image of this name and digest."""
    files = contents()
    values = files["values.yaml"].decode()
    for field, value in (("url", f"oci://{name}"), ("digest", digest)):
        line = re.compile(rf"^{field}: .*$", re.MULTILINE)
        values, count = line.subn(f"{field}: {value}", values)
        assert count == 1, field
    files["values.yaml"] = values.encode()
    packed = {f"bluegreen/{path}": content for path, content in files.items()}
    return archive.gzip(archive.tar(packed, time))


def contents() -> dict[str, bytes]:
    """Returns the chart's files by their paths, Chart.yaml first, as Helm reads them."""
    ignored = (FOLDER / ".helmignore").read_text().splitlines()
    ignored = [line for line in ignored if not line.startswith("#")]
    found = {"Chart.yaml": (FOLDER / "Chart.yaml").read_bytes()}
    # The folder `files` is a link, which glob does not follow.
    tops = sorted(FOLDER.iterdir())
    inside = (below for top in tops for below in (top, *sorted(top.glob("**/*"))))
    for file in inside:
        path = str(file.relative_to(FOLDER))
        if file.is_file() and not any(
            path == each or path.startswith(f"{each}/") for each in ignored
        ):
            found.setdefault(path, file.read_bytes())
    return found
