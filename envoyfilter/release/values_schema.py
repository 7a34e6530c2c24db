"""Puts the schema of the pluginConfig into the schema of the chart's values.

Helm reads one file and no other, so that the chart cannot refer to the schema of
envoyfilter/. What stands beside `$defs.pluginConfig` is written by hand.
"""

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "envoyfilter/schema/pluginConfig.schema.json"
VALUES = ROOT / "charts/bluegreen/values.schema.json"


def main() -> None:
    """Writes it, or with `--check` fails if it is not as it would be written."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    before = VALUES.read_text()
    schema = json.loads(before)
    # A schema with an id of its own: what it refers to is looked for within it.
    own = {"$id": CONFIG.name} | json.loads(CONFIG.read_text())
    schema["$defs"]["pluginConfig"] = own
    after = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    if not check:
        VALUES.write_text(after)
    elif after != before:
        sys.exit(f"{VALUES.relative_to(ROOT)} is not up to date: make schema")


if __name__ == "__main__":
    main()
