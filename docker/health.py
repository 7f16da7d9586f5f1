"""Health of whatever this container runs: a server and a worker have to answer, a run only has to be there."""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

#: A word of the command line, and where that command says that it is well.
CHECKS = {
    b"server": "http://127.0.0.1:4200/api/health",
    b"worker": "http://127.0.0.1:8080/health",
}


def main(proc: Path = Path("/proc"), timeout_s: float = 5.0) -> int:
    """0 if it is well, 1 if not: what HEALTHCHECK wants."""
    words = {word for file in proc.glob("[0-9]*/cmdline") for word in _read(file).split(b"\0")}
    for word, url in CHECKS.items():
        if {word, b"start"} <= words:
            return 0 if _answers(url, timeout_s) else 1
    return 0


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:  # it has ended, or is somebody else's
        return b""


def _answers(url: str, timeout_s: float) -> bool:
    try:
        with urlopen(url, timeout=timeout_s) as reply:
            return bool(reply.status == 200)
    except (URLError, OSError):
        return False


if __name__ == "__main__":
    sys.exit(main())
