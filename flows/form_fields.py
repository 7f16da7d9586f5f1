"""The fields of the run form: the configuration's own, with their types, choices, bounds and descriptions.

A section shows first what people set; the rest of it is folded behind a choice ("As in the preset" or "Change"), and so
is a section of which people set nothing. Prefect's UI folds nothing but what is not chosen.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    create_model,
    model_serializer,
)
from pydantic.fields import FieldInfo

from flows.form_models import ModelFields, table_of
from flows.form_sources import SourceFields, TaskFields
from tad_core.config import BASE, OBJECTIVES
from tad_core.config.models import STANDARD

Path = tuple[str, ...]
Presets = Mapping[str, Mapping[str, Any]]

#: What of a section is shown at once, in this order; a section that is not here is folded as a whole.
FIRST: dict[Path, tuple[str, ...]] = {
    ("model",): ("path", "revision", "dtype"),
    ("rollout",): ("samples", "response_length", "block_length", "seed"),
    ("distill",): ("objective", "learning_rate", "schedule", "max_steps", "epochs", "global_batch_size"),
    ("evaluate",): ("tasks", "models", "thresholds", "operating_threshold"),
}
#: The field that holds the rest of such a section; no setting has this name.
FURTHER = "further"
_FOLDED, _OPEN = "As in the preset", "Change"
_SCALARS = (int, float, str, bool)
#: Lists of sources, and the table of models, have forms of their own.
_ROWS: dict[Path, type[SourceFields] | type[ModelFields]] = {
    ("data",): SourceFields,
    ("models",): ModelFields,
    ("evaluate", "tasks"): TaskFields,
}
#: What items mean where it is not just that they replace the preset's.
_REPLACED: dict[Path, str] = {
    ("models",): (
        "Any here replace those of the preset; all of them are compared unless evaluate.models chooses."
    ),
}


class Partial(BaseModel):
    """A section of the form: unknown fields are refused, fields left empty do not exist."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_serializer(mode="wrap")
    def _only_what_is_set(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if value not in (None, {}, [])}


def form_of(fields: Mapping[str, FieldInfo], presets: Presets) -> type[Partial]:
    """The form's version of these settings of the configuration.

    Args:
        fields: the settings, by name.
        presets: the plain trees of the presets, by name: what an empty field stands for.
    """
    return _section("Changes", fields, (), presets)


def is_section(info: FieldInfo) -> bool:
    """Whether a setting is a section of others."""
    return isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel)


def filled_in(changed: Partial, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Path in the configuration and plain value of every field that was filled in.

    Raises:
        ConfigError: options of a source, or settings of a model, that are not of the form name=value; two models of
            one name.
    """
    for name in type(changed).model_fields:
        value = getattr(changed, name)
        here = path if name == FURTHER else (*path, name)
        if isinstance(value, Partial):
            yield from filled_in(value, here)
        elif here == ("models",) and value:
            yield here, table_of(value)
        elif here in _ROWS and value:
            yield here, [row.as_entry() for row in value]
        elif value not in (None, []):
            yield here, value


def _section(title: str, fields: Mapping[str, FieldInfo], path: Path, presets: Presets) -> type[Partial]:
    """The form's version of a section: first what people set, then the rest of it, folded."""
    first = FIRST.get(path)
    if first is None:
        return _model(title, _fields(fields, path, presets))
    made = _fields({name: fields[name] for name in first}, path, presets)
    rest = {name: info for name, info in fields.items() if name not in first}
    inner = _model(f"{title}Further", _fields(rest, path, presets), _OPEN)
    made[FURTHER] = _folded(inner, f"The other settings of {path[-1]}.", len(made))
    return _model(title, made)


def _model(title: str, made: dict[str, Any], label: str = "") -> type[Partial]:
    doc, shown = "An empty field is as in the preset.", {"title": label} if label else {}
    return create_model(title, __base__=Partial, __doc__=doc, __cls_kwargs__=shown, **made)


def _fields(fields: Mapping[str, FieldInfo], path: Path, presets: Presets) -> dict[str, Any]:
    """All of these settings that a field can hold, in order."""
    made = {
        name: _field(info, (*path, name), position, presets)
        for position, (name, info) in enumerate(fields.items())
    }
    return {name: field for name, field in made.items() if field is not None}


def _field(info: FieldInfo, path: Path, position: int, presets: Presets) -> Any:
    """The form's version of one setting: its type, or the section's own form; None if it has no field."""

    def shown(schema: dict[str, Any]) -> None:
        # PostgreSQL does not keep the order of fields; the UI goes by this number.
        schema["position"] = position
        schema.pop("default", None)
        if schema.get("type") == "boolean":  # a switch is always on or off; a list of two can be left empty
            schema["enum"] = [True, False]
            del schema["type"]

    if is_section(info):
        assert info.annotation is not None
        title, fields = "".join(map(str.capitalize, path)), info.annotation.model_fields  # type: ignore[attr-defined]
        if path not in FIRST:
            return _folded(_model(title, _fields(fields, path, presets), _OPEN), _sentence(info), position)
        section = _section(title, fields, path, presets)
        field = Field(default=section(), description=_sentence(info), json_schema_extra=shown)
        return Annotated[section, field], section()
    if path in _ROWS:
        description = f"{_sentence(info)} {_REPLACED.get(path, 'Any here replace those of the preset.')}"
        field = Field(default=[], description=description, json_schema_extra=shown)
        return Annotated[list[_ROWS[path]], field], []
    annotation = _choices(path, presets) or _plain_type(info.annotation)
    if not _fits_a_field(annotation):
        return None
    described = path != ("name",)
    description = f"{_sentence(info)} {_preset_values(info, path, presets)}" if described else _sentence(info)
    field = Field(default=None, description=description, json_schema_extra=shown)
    return Annotated[annotation, *info.metadata, field], None


def _folded(section: type[Partial], description: str, position: int) -> Any:
    """A section that is shown once somebody chooses to change it."""

    def shown(schema: dict[str, Any]) -> None:
        schema["position"] = position
        schema.pop("default", None)
        (opened,) = [member for member in schema["anyOf"] if "$ref" in member]
        schema["anyOf"] = [{"type": "null", "title": _FOLDED}, opened]

    field = Field(default=None, description=description, json_schema_extra=shown)
    return Annotated[section | None, field], None


def _choices(path: Path, presets: Presets) -> Any:
    """The names among which a text of the configuration has to be, as far as they are known before it is read."""
    if path == ("distill", "objective"):
        return Literal[tuple(OBJECTIVES)]
    if path == ("evaluate", "models"):
        own = [name for tree in presets.values() for name in tree.get("models") or {}]
        return list[Literal[tuple(dict.fromkeys([BASE, *STANDARD, *own]))]]  # type: ignore[misc]
    return None


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
    if not text and is_section(info):
        text = str(info.annotation.__doc__).strip().splitlines()[0]
    return text if not text or text.endswith((".", "…")) else f"{text}."


def _preset_values(info: FieldInfo, path: Path, presets: Presets) -> str:
    """``Preset: 1.`` where all agree, ``Preset: 24 (demo); 500 (llada-8b).`` where not."""
    default = None if info.is_required() else info.get_default(call_default_factory=True)
    by_value: dict[str, list[str]] = {}
    for name, tree in presets.items():
        by_value.setdefault(_written(_at(tree, path, default)), []).append(name)
    if len(by_value) <= 1:
        return f"Preset: {next(iter(by_value), _written(default))}."
    each = (f"{value} ({', '.join(names)})" for value, names in by_value.items())
    return f"Preset: {'; '.join(each)}."


def _written(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_written, value))
    return "none" if value is None else str(value)


def _at(tree: Mapping[str, Any], path: Path, default: Any) -> Any:
    node: Any = tree
    for part in path:
        if not isinstance(node, Mapping) or part not in node:
            return default
        node = node[part]
    return node
