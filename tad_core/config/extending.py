"""The file of a run, and the one it begins from: ``extends: llada-8b.yaml``, and below it only what differs.

A section is continued entry by entry; a list or a value is replaced. What comes of it is one plain tree, so that
nothing behind this (checks, fingerprints, the configuration kept beside an artifact) knows of several files.
"""

from __future__ import annotations

from pathlib import Path

from tad_core.config.document import RUN, Document, read_document
from tad_core.errors import ConfigError

#: The key that names the file below, from the folder of the one that has it.
EXTENDS = "extends"


def read_run(path: str | Path) -> Document:
    """The file of a run on top of the one it extends, and that on top of its own, if any.

    Raises:
        ConfigError: one of them is not there, cannot be read (``read_document``), or extends one that extends it.
    """
    documents, seen = list[Document](), list[Path]()
    here: Path | None = Path(path)
    while here is not None:
        document = read_document(here, RUN)
        documents.append(document)
        seen.append(here.resolve())
        here = _below(document, here, seen)
    run = documents.pop()
    while documents:
        run = documents.pop().over(run)
    return run


def _below(document: Document, path: Path, seen: list[Path]) -> Path | None:
    """The file that this one extends; its key is taken out of the tree."""
    if EXTENDS not in document.tree:
        return None
    where, given = document.where([EXTENDS]), document.tree.pop(EXTENDS)
    if not isinstance(given, str) or not given:
        raise ConfigError(
            f"{EXTENDS}: {given!r} is not a file; name a run's YAML file, or leave it out{where}"
        )
    below = path.parent / given
    if not below.is_file():
        raise ConfigError(
            f"{EXTENDS}: {below} does not exist; name a file from the folder of {path.name}{where}"
        )
    if below.resolve() in seen:
        raise ConfigError(
            f"{EXTENDS}: {below} begins from {path.name} itself; one of them has to stand alone{where}"
        )
    return below
