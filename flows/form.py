"""The run form of a deployed flow: a preset by name, every setting as an optional typed field, overrides on top.

The fields are the configuration's own, with their types, choices, bounds and descriptions; none has a value until
somebody fills it in, so that an empty form is the preset as it is. What a preset sets stands in the description.
Lists of sources and mappings have no field: they are changed in ``overrides``.
"""

from __future__ import annotations

import json
import os
import types
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    create_model,
    model_serializer,
)
from pydantic.fields import FieldInfo

from tad_core.config import TADConfig, load_config
from tad_core.errors import ConfigError

#: The checkout or image: relative paths of a preset (checkpoint, problems, store) start here.
ROOT = Path(__file__).resolve().parents[1]
#: A folder of further presets, beside the shipped ones.
PRESETS_VARIABLE = "TAD_PRESETS"
#: Where relative stores go, e.g. a shared disk or a bucket; default: ROOT.
STORE_VARIABLE = "TAD_STORE"

_SCALARS = (int, float, str, bool)


class Partial(BaseModel):
    """A section of the form: unknown fields are refused, fields left empty do not exist."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_serializer(mode="wrap")
    def _only_what_is_set(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if value not in (None, {})}


@lru_cache(maxsize=1)
def presets() -> dict[str, Path]:
    """The pipeline's configurations by name: those shipped in configs/, and those in ``$TAD_PRESETS``."""
    folders = [ROOT / "configs", *([Path(own)] if (own := os.environ.get(PRESETS_VARIABLE)) else [])]
    files = [file for folder in folders for file in sorted(folder.glob("*.yaml"))]
    # A file of another kind (pretraining) or one that cannot be read is no preset.
    return {file.stem: file for file in files if "evaluate" in _tree(file)}


def changes(*sections: str) -> type[Partial]:
    """The model of the form's fields: the settings outside any section, and those of ``sections``."""
    wanted = {n: i for n, i in TADConfig.model_fields.items() if n in sections or not _is_section(i)}
    return _form("Changes", wanted, ())


def configured(preset: str, changed: Partial, overrides: Sequence[str]) -> TADConfig:
    """The preset with the form's fields, then the overrides, on top; the store made absolute.

    Raises:
        ConfigError: an unknown preset, or everything that is wrong with the result, in one message.
    """
    file = presets().get(preset)
    if file is None:
        raise ConfigError(f"preset: {preset!r} does not exist; use one of {', '.join(presets())}")
    set_here = [f"{'.'.join(path)}={json.dumps(value)}" for path, value in _leaves(changed.model_dump())]
    config = load_config(file, [*set_here, *overrides])
    return config.model_copy(update={"store": absolute_store(config.store)})


def absolute_store(store: str) -> str:
    """A relative store below ``$TAD_STORE`` or the checkout; URLs and absolute paths as they are."""
    if "://" in store or Path(store).expanduser().is_absolute():
        return store
    return f"{os.environ.get(STORE_VARIABLE) or ROOT}/{store}"


# --- fields -------------------------------------------------------------------------------------------


def _form(title: str, fields: Mapping[str, FieldInfo], path: tuple[str, ...]) -> type[Partial]:
    """The form's version of a section: all of its settings that a field can hold, in order."""
    made = {
        name: field
        for position, (name, info) in enumerate(fields.items())
        if (field := _field(info, (*path, name), position)) is not None
    }
    return create_model(title, __base__=Partial, __doc__="An empty field is as in the preset.", **made)


def _field(info: FieldInfo, path: tuple[str, ...], position: int) -> Any:
    """The form's version of one setting: its type, or the section's own form; None if it has no field."""

    def shown(schema: dict[str, Any]) -> None:
        # PostgreSQL does not keep the order of fields; the UI goes by this number.
        schema["position"] = position
        schema.pop("default", None)
        if schema.get("type") == "boolean":  # a switch is always on or off; a list of two can be left empty
            schema["enum"] = [True, False]
            del schema["type"]

    if _is_section(info):
        assert info.annotation is not None
        section = _form(path[-1].capitalize(), info.annotation.model_fields, path)  # type: ignore[attr-defined]
        field = Field(default=section(), description=_sentence(info), json_schema_extra=shown)
        return Annotated[section, field], section()
    annotation = _plain_type(info.annotation)
    if not _fits_a_field(annotation):
        return None
    description = _sentence(info) if path == ("name",) else f"{_sentence(info)} {_preset_values(info, path)}"
    field = Field(default=None, description=description, json_schema_extra=shown)
    return Annotated[annotation, *info.metadata, field], None


def _is_section(info: FieldInfo) -> bool:
    return isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel)


def _plain_type(annotation: Any) -> Any:
    """``int | None`` is a number field that may be left empty, not a choice of types; a tuple is a list."""
    if get_origin(annotation) is tuple and get_args(annotation)[1:] == (...,):
        return list[get_args(annotation)[0]]  # type: ignore[misc]
    if get_origin(annotation) not in (Union, types.UnionType):
        return annotation
    members = tuple(member for member in get_args(annotation) if member is not type(None))
    return members[0] if len(members) == 1 else Union[members]  # noqa: UP007 (built at run time)


def _fits_a_field(annotation: Any) -> bool:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _fits_a_field(get_args(annotation)[0])
    if origin is list:
        return _fits_a_field(get_args(annotation)[0])
    if origin in (Union, types.UnionType):  # a number, or a word
        return all(map(_fits_a_field, get_args(annotation)))
    return origin is Literal or annotation in _SCALARS


def _sentence(info: FieldInfo) -> str:
    text = (info.description or "").strip()
    if not text and _is_section(info):
        text = str(info.annotation.__doc__).strip().splitlines()[0]  # type: ignore[union-attr]
    return text if not text or text.endswith((".", "…")) else f"{text}."


def _preset_values(info: FieldInfo, path: tuple[str, ...]) -> str:
    """``Preset: 1.`` where all agree, ``Preset: demo 24, llada-8b 500.`` where not."""
    default = None if info.is_required() else info.get_default(call_default_factory=True)
    by_value: dict[str, list[str]] = {}
    for name, file in presets().items():
        by_value.setdefault(_written(_at(_tree(file), path, default)), []).append(name)
    if len(by_value) <= 1:
        return f"Preset: {next(iter(by_value), _written(default))}."
    each = (f"{value} ({', '.join(names)})" for value, names in by_value.items())
    return f"Preset: {'; '.join(each)}."


def _written(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_written, value))
    return "none" if value is None else str(value)


def _at(tree: Mapping[str, Any], path: tuple[str, ...], default: Any) -> Any:
    node: Any = tree
    for part in path:
        if not isinstance(node, Mapping) or part not in node:
            return default
        node = node[part]
    return node


@lru_cache(maxsize=64)
def _tree(file: Path) -> dict[str, Any]:
    try:
        # Not the strict reader: a file with a key given twice is offered, and refused with its lines when it is chosen.
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    return tree if isinstance(tree, dict) else {}


def _leaves(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*path, name))
        else:
            yield (*path, name), value
