"""What `bluegreen simulate` takes for ten million users on one core: `make bench-cli`."""

import resource
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROUTES = """\
kind: VirtualService
metadata: {name: shop, namespace: shop}
spec:
  hosts: [shop.example]
  http:
  - name: bluegreen
    route:
    - {destination: {host: shop, subset: blue}, weight: 100}
    - {destination: {host: shop, subset: green}, weight: 0}
"""


def main() -> None:
    """Runs it three times, for more and more users, and prints what it took."""
    command = [str(ROOT / "target/bluegreen"), "simulate", "-r", "-"]
    before = 0.0
    print(f"{'users':>12} {'seconds of a core':>18}")
    for users in (10**5, 10**6, 10**7):
        arguments = ["--to", "10,30,50,100", "--users", str(users)]
        subprocess.run(
            [*command, *arguments], input=ROUTES, text=True, check=True, stdout=-3
        )
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = used.ru_utime + used.ru_stime
        print(f"{users:>12,} {seconds - before:>18.2f}")
        before = seconds


if __name__ == "__main__":
    main()
