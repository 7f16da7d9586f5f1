"""What comes with the code: configurations, the small model, the files of the deployment.

A checkout has them beside its packages, an installed wheel inside ``tad_core``.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tad_core.artifacts.durable import check_place
from tad_core.errors import ConfigError

#: The folders, as in a checkout.
FOLDERS = ("assets", "configs", "deployments")
DEMO = Path("configs") / "demo.yaml"
MODEL = Path("assets") / "tiny-llada"


def root() -> Path:
    """Where the folders are."""
    packages = Path(__file__).resolve().parents[1]
    return packages if (packages / DEMO).is_file() else Path(__file__).resolve().parent / "shipped_files"


def model_here() -> Path:
    """The small model, by a path that holds where a command is typed: relative only if it is there."""
    return MODEL if (MODEL / "config.json").is_file() else root() / MODEL


def copy_to(folder: Path) -> list[Path]:
    """Copy the folders into another; returns where they are now.

    Raises:
        ConfigError: one of them is there already, or none can be; nothing was written.
    """
    places = [folder / name for name in FOLDERS]
    for place in places:
        if place.exists():
            raise ConfigError(
                f"FOLDER: {place} is there already; nothing is overwritten, give another folder"
            )
    check_place(folder, "FOLDER")
    for place in places:
        shutil.copytree(root() / place.name, place, ignore=shutil.ignore_patterns("__pycache__"))
    return places
