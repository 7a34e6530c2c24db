"""Writes install.yaml: all that `kubectl apply -f envoyfilter/` installs, in one file.

The url of the image is filled in. Each file comes without its head, which speaks of
several files; what stands beside the fields stays.
"""

import argparse
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "envoyfilter"

# The url of a plugin: the name of the image, and its tag.
URL = re.compile(r"(?<=url: |&url )oci://(\S+):([^:/\s]+)$", re.MULTILINE)

HEAD = """\
# bluegreen {version} for a whole mesh: admission policies, EnvoyFilter, plugins.
#
# Change: nothing. What is (optional) below may be changed; `istio-system` throughout
#         has to be, if the root namespace of your mesh is another one.
# Apply:  kubectl apply -f install.yaml
# See:    in responses on a named route: curl -sI http://shop.example/ | grep -i x-served-version
# Undo:   kubectl delete -f install.yaml
"""


def main() -> None:
    """Writes it to standard output."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url", help="of the image: oci://REGISTRY/NAME@sha256:...")
    print(text(version(), parser.parse_args().url), end="")


def text(version: str, url: str) -> str:
    """Returns install.yaml."""
    files = [body(FOLDER / name) for name in names()]
    filled, count = URL.subn(url, "---\n".join(files))
    assert count == 1, f"{count} urls"
    return f"{HEAD.format(version=version)}---\n{filled}"


def names() -> list[str]:
    """Returns the files that are installed, as the Kustomization lists them."""
    lines = (FOLDER / "Kustomization").read_text().splitlines()
    return [line.removeprefix("- ") for line in lines if line.startswith("- ")]


def body(file: Path) -> str:
    """Returns a file without the comment at its beginning."""
    lines = file.read_text().splitlines(keepends=True)
    while lines[0].startswith("#"):
        del lines[0]
    return "".join(lines)


def image() -> str:
    """Returns the name of the image in plugins.yaml: the registry, and the name there."""
    found = URL.search((FOLDER / "plugins.yaml").read_text())
    assert found
    return found[1]


def version() -> str:
    """Returns the version of the module."""
    return tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]


if __name__ == "__main__":
    main()
