"""Packages that only some settings need: how they are installed here."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

_PINS = "constraints.txt"


def how_to_install(extra: str) -> str:
    """The command for an extra of this package, to stand in a message.

    In a checkout with its pins; from a wheel, which no index has under this name, the packages themselves.

    Args:
        extra: as in ``pyproject.toml``, e.g. ``gpu``.
    """
    if (Path(__file__).resolve().parents[1] / _PINS).is_file():
        return f'.venv/bin/pip install -c {_PINS} -e ".[{extra}]"'
    try:
        needed = requires("tad") or []
    except PackageNotFoundError:
        needed = []
    of_extra = re.compile(rf"""\bextra\s*==\s*['"]{re.escape(extra)}['"]""")
    packages = [line.partition(";")[0].strip() for line in needed if of_extra.search(line)]
    return f"pip install {' '.join(repr(package) for package in packages)}"
