"""What happens to files."""

from __future__ import annotations

from pathlib import Path


def damage_delete(path: Path) -> None:
    path.unlink()


def damage_truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def damage_flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(bytes(data))
