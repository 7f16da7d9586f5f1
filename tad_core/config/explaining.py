"""What a validation error says, a line for each problem, by the path of the field."""

from __future__ import annotations

import difflib
from typing import Any, get_args, get_origin

from pydantic import BaseModel


def explained(model: type[BaseModel], error: Any) -> list[str]:
    """One line for each problem that one entry of ``ValidationError.errors`` tells of."""
    loc, message = error["loc"], str(error["msg"]).removeprefix("Value error, ")
    if loc and loc[-1] == "[key]":
        remedy = "write it in quotes" if error["type"] == "string_type" else message
        return [f"{'.'.join(map(str, loc[:-2]))}: {error['input']!r} is not accepted as a name; {remedy}"]
    where = ".".join(map(str, loc))
    if error["type"] == "value_error":
        return [f"{where}.{line}" if where else line for line in message.split("\n")]
    if error["type"] == "extra_forbidden":
        names = _fields_at(model, loc[:-1])
        near = difflib.get_close_matches(str(loc[-1]), names, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(names)}"
        return [f"{where}: unknown key; {hint}"]
    if error["type"] == "missing":
        return [f"{where}: missing; add it to the config"]
    if error["type"] == "model_type":
        message = f"use a mapping of some of {', '.join(_fields_at(model, loc))}"
    elif error["type"] == "dict_type":
        message = "use a mapping of names to values"
    return [f"{where}: {error['input']!r} is not accepted: {message}"]


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
        inner = [a for a in (info.annotation, *get_args(info.annotation)) if isinstance(a, type)]
        models = [a for a in inner if issubclass(a, BaseModel)]
        if not models:
            return []
        model, is_key = models[0], get_origin(info.annotation) is dict
    return sorted(model.model_fields)
