"""`python -m riverflow` and the `riverflow` script: starts the command line, or says what it needs.

It must not import what only the extra `server` installs.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec

__all__ = ["main"]

_NEEDED = ("click", "uvicorn", "websockets")


def main() -> None:
    """Run the command line and exit: 0, 1 for what cannot work, 2 for wrong usage."""
    if any(find_spec(name) is None for name in _NEEDED):
        print("error: the command line is an extra: pip install 'riverflow[server]'", file=sys.stderr)
        raise SystemExit(1)
    from .cli import run

    raise SystemExit(run())


if __name__ == "__main__":
    main()
