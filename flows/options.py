"""Arguments and options that commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[Path, typer.Argument(help="YAML file, e.g. configs/demo.yaml.", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="FIELD=VALUE", help="Change one field, e.g. --set rollout.seed=3; repeatable."
    ),
]
Force = Annotated[
    list[str] | None,
    typer.Option("--force", metavar="STAGE", help="Compute a stage again though it is done; repeatable."),
]
StoreUrl = Annotated[
    str | None, typer.Option("--store", help="Folder or fsspec URL of the artifacts; default: the config's.")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks and Prefect's own log lines.")]


def epilog(word: str, more: str = "") -> str:
    """Examples below a command's help."""
    example = (
        f"Examples:\n\ntad {word} configs/demo.yaml\n\ntad {word} configs/demo.yaml --set rollout.seed=3"
    )
    return example + (f"\n\n{more}" if more else "")
