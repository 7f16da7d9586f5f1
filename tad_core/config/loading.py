"""From YAML and ``--set section.field=value`` to a validated tree; every mistake becomes one line of one error."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from tad_core.config.document import Document, parse_document
from tad_core.config.explaining import explained
from tad_core.config.extending import read_run
from tad_core.config.tree import TADConfig
from tad_core.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)


def load_config(path: str | Path, overrides: Iterable[str] = ()) -> TADConfig:
    """Read a YAML file, on top of the one that it ``extends``; apply ``section.field=value`` overrides, validate.

    Args:
        path: the file of a run.
        overrides: as of ``--set``.

    Raises:
        ConfigError: with every problem found, one line each, and where in the file it is.
    """
    document = _overridden(path, overrides)
    return validated(TADConfig, document.tree, document)


def parse_config(tree: Mapping[str, Any]) -> TADConfig:
    """Validate a plain tree (from the run form, a manifest or a test)."""
    return validated(TADConfig, tree)


def validated(model: type[Model], tree: Any, document: Document | None = None) -> Model:
    """Validate a plain tree against any tree of settings.

    Raises:
        ConfigError: with every problem found, one line each; with its line where the tree is that of ``document``.
    """
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        faults = error.errors()
        # A list of which an item is refused is counted without it: that it then has too few is no fault of its own.
        refused = {fault["loc"][:-1] for fault in faults}
        told = [fault for fault in faults if fault["type"] != "too_short" or fault["loc"] not in refused]
        found = [line for fault in told for line in explained(model, fault)]
        if document is not None:
            found = [line + document.where(line.partition(":")[0].split(".")) for line in found]
        raise ConfigError("\n".join(found)) from None


@contextmanager
def naming_lines(path: str | Path, overrides: Iterable[str] = ()) -> Iterator[None]:
    """Let a ``ConfigError`` about a field of this file, found after it was read, say the field's line too."""
    try:
        yield
    except ConfigError as error:
        document = _overridden(path, overrides)
        found = [line + document.where(_path_of(line, document.tree)) for line in str(error).split("\n")]
        raise ConfigError("\n".join(found)) from error.__cause__


def _overridden(path: str | Path, overrides: Iterable[str]) -> Document:
    return overridden(read_run(path), overrides)


def overridden(document: Document, overrides: Iterable[str]) -> Document:
    """The document, its tree changed by ``section.field=value``.

    Raises:
        ConfigError: one is not of that form, or names no place.
    """
    for item in overrides:
        document.replaced.append(_override(document.tree, item))
    return document


def dump_config(config: BaseModel) -> str:
    """The resolved configuration as YAML, every default written out."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _override(tree: dict[str, Any], item: str) -> tuple[str, ...]:
    """Change the tree; returns the path that was changed."""
    key, equals, raw = item.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set: {item!r} is not of the form section.field=value, e.g. rollout.seed=3")
    value = read_value(raw, f"--set {key}")
    node: Any = tree
    *parents, leaf = key.split(".")
    for part in parents:
        if isinstance(node, list):
            node = _item(node, part, key)
            continue
        if not isinstance(node.get(part), (dict, list)):
            node[part] = {}
        node = node[part]
    if isinstance(node, list):
        _item(node, leaf, key)
        node[int(leaf)] = value
    else:
        node[leaf] = value
    return (*parents, leaf)


def read_value(raw: str, name: str) -> Any:
    """A value that somebody typed, as YAML has it.

    Raises:
        ConfigError: it is no YAML; ``name`` says what it is the value of.
    """
    try:
        value = parse_document(raw, "the value").tree
    except ConfigError as error:
        raise ConfigError(f"{name}: {raw!r} is not a YAML value ({error})") from None
    return _number(value) if isinstance(value, str) else value


def _number(text: str) -> Any:
    # YAML 1.1 reads 2e-5 (no dot) as a string; everybody who types it means a number.
    try:
        return float(text)
    except ValueError:
        return text


def _item(node: list[Any], part: str, key: str) -> Any:
    if not part.isdigit() or int(part) >= len(node):
        raise ConfigError(f"--set {key}: {part!r} is not an index of that list; use 0 to {len(node) - 1}")
    return node[int(part)]


def _path_of(message: str, tree: Any) -> list[str]:
    """The path of the field that a message begins with; empty where it is about none of the tree."""
    source = re.match(r"(?:data source|task) (.+?): (?:options? (\w+))?", message)
    if source is None:
        return message.partition(":")[0].split(" ")[0].split(".")
    for path in (["data"], ["evaluate", "tasks"]):
        entries = tree.get(path[0]) if len(path) == 1 else (tree.get(path[0]) or {}).get(path[1])
        for number, entry in enumerate(entries or []):
            if entry.get("name") == source[1]:
                option = source[2]
                return [*path, str(number), *(["options", option] if option else [])]
    return []
