"""What a change of a setting computes again, read from its marks: for the page of settings and for remedies."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, get_args

from pydantic.fields import FieldInfo

from tad_core.config.tree import TADConfig
from tad_core.settings import Strict

#: section -> the first stage whose result one of its settings changes
FIRST_STAGE = {
    "name": "report",
    "store": "",
    "model": "collect",
    "data": "collect",
    "rollout": "collect",
    "filter": "filter",
    "calibrate": "calibrate",
    "distill": "distill",
    "models": "distill",
    "evaluate": "evaluate",
}
_AFTER = {
    "collect": "collect and all after it",
    "filter": "filter and all after it",
    "calibrate": "calibrate; and what follows where a window changes",
    "distill": "distil and all after it",
    "evaluate": "evaluate and report",
    "report": "report",
}


def recomputes(section: str, owner: type[Strict], name: str, info: FieldInfo) -> str:
    """What a change of a field computes again, by its marks."""
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    if "keyed" in extra:
        return f"nothing, but {extra['keyed']}: {_AFTER[FIRST_STAGE[section]]}"
    if "note" in extra:
        return f"nothing; {extra['note']}"
    runtime: frozenset[str] = getattr(owner, "RUNTIME_FIELDS", frozenset())
    if name in runtime or extra.get("runtime"):
        return "nothing"
    return _AFTER["report" if extra.get("report") else str(extra.get("stage", FIRST_STAGE[section]))]


def leaves() -> Iterator[tuple[str, str]]:
    """Path (``distill.lora.rank``) of every field, and what its change computes again; a list goes by its item."""
    for name, info in TADConfig.model_fields.items():
        section = section_of(info.annotation)
        if section is None:
            yield name, recomputes(name, TADConfig, name, info)
        else:
            yield from ((path, again) for path, _, again in fields_of(section, name, f"{name}."))


@cache
def with_cost(path: str) -> str:
    """A setting as a remedy names it: ``distill.save_steps (recomputes nothing)``.

    Raises:
        KeyError: there is no such setting.
    """
    again = dict(leaves())[path]
    return f"{path} (recomputes {again.partition(';')[0]})"


def fields_of(owner: type[Strict], section: str, prefix: str) -> Iterator[tuple[str, FieldInfo, str]]:
    """Every field of a section and of those inside it: path from the section, the field, what its change recomputes."""
    for name, info in owner.model_fields.items():
        inner = section_of(info.annotation)
        if inner is not None and listed(info.annotation) is None:
            yield from fields_of(inner, section, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", info, recomputes(section, owner, name, info)


def section_of(annotation: Any) -> type[Strict] | None:
    """The section a field holds, also inside a list or a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, Strict):
        return annotation
    return listed(annotation)


def listed(annotation: Any) -> type[Strict] | None:
    """The section that a list or a mapping holds."""
    return next((a for a in get_args(annotation) if isinstance(a, type) and issubclass(a, Strict)), None)
