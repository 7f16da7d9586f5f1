"""From YAML and ``--set section.field=value`` to a validated tree; every mistake becomes one line of one error."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from tad_core.config.tree import TADConfig
from tad_core.errors import ConfigError


def load_config(path: str | Path, overrides: Iterable[str] = ()) -> TADConfig:
    """Read a YAML file, apply ``section.field=value`` overrides, validate.

    Raises:
        ConfigError: with every problem found, one line each.
    """
    file = Path(path)
    if not file.is_file():
        shipped = ", ".join(sorted(str(p) for p in Path("configs").glob("*.yaml"))) or "none here"
        raise ConfigError(f"config: {path} does not exist; shipped ones: {shipped}")
    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ConfigError(f"config: {path} is not YAML: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"config: {path} cannot be read as UTF-8 text ({error})") from None
    if not isinstance(tree, dict):
        raise ConfigError(
            f"config: {path} holds no mapping; it needs at least name, model, data and evaluate"
        )
    for item in overrides:
        _override(tree, item)
    return parse_config(tree)


def parse_config(tree: Mapping[str, Any]) -> TADConfig:
    """Validate a plain tree (from YAML, the run form or a test)."""
    try:
        return TADConfig.model_validate(tree)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(e) for e in error.errors())) from None


def dump_config(config: BaseModel) -> str:
    """The resolved configuration as YAML, every default written out."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _override(tree: dict[str, Any], item: str) -> None:
    key, equals, raw = item.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set: {item!r} is not of the form section.field=value, e.g. rollout.seed=3")
    try:
        value = yaml.safe_load(raw)
    except yaml.YAMLError:
        raise ConfigError(f"--set {key}: {raw!r} is not a YAML value") from None
    if isinstance(value, str):
        value = _number(value)
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


def _explain(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        names = _fields_at(error["loc"][:-1])
        near = difflib.get_close_matches(str(error["loc"][-1]), names, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(names)}"
        return f"{where}: unknown key; {hint}"
    if error["type"] == "missing":
        return f"{where}: missing; add it to the config"
    if error["type"] == "value_error":
        return f"{where}.{message}" if where else message
    return f"{where}: {error['input']!r} is not accepted: {message}"


def _fields_at(loc: tuple[Any, ...]) -> list[str]:
    """Names of the fields of the section at ``loc``, walking the tree of models."""
    model: type[BaseModel] = TADConfig
    for part in loc:
        if isinstance(part, int):
            continue
        info = model.model_fields.get(str(part))
        if info is None:
            return []
        inner = [a for a in (info.annotation, *get_args(info.annotation)) if isinstance(a, type)]
        models = [a for a in inner if issubclass(a, BaseModel)]
        if not models:
            return []
        model = models[0]
    return sorted(model.model_fields)
