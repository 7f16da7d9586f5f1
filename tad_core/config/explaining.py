"""What a validation error says, a line for each problem, by the path of the field."""

from __future__ import annotations

import difflib
from typing import Any, TypeGuard, get_args, get_origin

from pydantic import BaseModel

from tad_core.config.elsewhere import FIELDS, said

#: How alike two names are (1: the same) of which one may be the other misspelled, and of which one may be meant.
_MISSPELLED, _ALIKE = 0.75, 0.5
#: As much of a value as a message shows.
_SHOWN = 200


def explained(model: type[BaseModel], error: Any) -> list[str]:
    """One line for each problem that one entry of ``ValidationError.errors`` tells of."""
    loc, message = error["loc"], str(error["msg"]).removeprefix("Value error, ")
    if loc and loc[-1] == "[key]":
        remedy = "write it in quotes" if error["type"] == "string_type" else message
        return [
            f"{'.'.join(map(str, loc[:-2]))}: {_shown(error['input'])} is not accepted as a name; {remedy}"
        ]
    where = ".".join(map(str, loc))
    if error["type"] == "value_error":
        return [f"{where}.{line}" if where else line for line in message.split("\n")]
    if error["type"] == "extra_forbidden":
        return [f"{where}: unknown key; {_meant(model, loc)}"]
    if error["type"] == "missing":
        return [f"{where}: missing; add it to the config"]
    if error["type"] == "model_type":
        message = f"use a mapping of some of {', '.join(_fields_at(model, loc))}"
    elif error["type"] == "dict_type":
        message = "use a mapping of names to values"
    elif error["type"] in ("list_type", "tuple_type"):
        message = "use a list"
    return [f"{where}: {_shown(error['input'])} is not accepted: {message}"]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _meant(model: type[BaseModel], loc: tuple[Any, ...]) -> str:
    """What may have been meant by a key that the section lacks: one spelled alike, or the same of another section."""
    name, names = str(loc[-1]), _fields_at(model, loc[:-1])
    for known in (".".join(map(str, loc[-2:])), name):
        if ours := said(FIELDS, known):
            return ours
    if near := difflib.get_close_matches(name, names, n=1, cutoff=_MISSPELLED):
        return f"did you mean {near[0]}?"
    sections = {
        other: info.annotation for other, info in model.model_fields.items() if _is_model(info.annotation)
    }
    if elsewhere := [
        f"{other}.{name}" for other, section in sections.items() if name in section.model_fields
    ]:
        return f"did you mean {' or '.join(elsewhere)}?"
    if near := difflib.get_close_matches(name, names, n=1, cutoff=_ALIKE):
        return f"did you mean {near[0]}?"
    return f"known here: {', '.join(names)}"


def _fields_at(model: type[BaseModel], loc: tuple[Any, ...]) -> list[str]:
    """Names of the fields of the section at ``loc``, walking the tree of models."""
    is_key = False
    for part in loc:
        # Of a mapping or a list: its entries are of the section found already.
        if is_key or isinstance(part, int):
            is_key = False
            continue
        info = model.model_fields.get(str(part))
        if info is None:
            return []
        models = [a for a in (info.annotation, *get_args(info.annotation)) if _is_model(a)]
        if not models:
            return []
        model, is_key = models[0], get_origin(info.annotation) is dict
    return sorted(model.model_fields)


def _is_model(annotation: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
