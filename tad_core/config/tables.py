"""The page of all settings, made from the fields themselves and their marks.

python -m tad_core.config.tables      # writes docs/settings.md anew
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tad_core.artifacts.components import USED, VERSIONS
from tad_core.config.marks import fields_of, listed, recomputes, section_of
from tad_core.config.tree import TADConfig
from tad_core.settings import Strict

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"

_HEAD = """# Settings

Every field of a configuration, with its default and with what is computed again when it changes. What says *nothing*
changes how fast a result comes and no more of it than a GPU rounds, and may be changed at any time, also in the
middle of a run. This page is made from the code (`python -m tad_core.config.tables`); tests hold it against the fields,
and every field against the keys of all stages.

A file may begin from another: `extends: llada-8b.yaml` (from its own folder; that one may extend a third), and below it
only what differs. Sections go on entry by entry, lists and values are replaced. What is checked, fingerprinted and kept
beside an artifact is what comes of all of them; an error names the file and line that it is about.
"""
_COMPONENTS = """## Versions of the code

What stages share has a version of its own (`tad_core/artifacts/components.py`), above 1 a part of the keys of these
stages; what is made from their artifacts follows. `distill sft` fine-tunes on references, `distill system` is trained
with `distill.teacher_prompt: system`.

| component | version | enters the keys of |
|---|---|---|"""
_COLUMNS = ["| field | default | a change recomputes | what it is |", "|---|---|---|---|"]


def page() -> str:
    """The page, as Markdown."""
    parts = [_HEAD]
    for name, info in TADConfig.model_fields.items():
        section = section_of(info.annotation)
        if section is None:
            continue
        title = f"`{name}`"
        if section is listed(info.annotation):
            title += ", a mapping of names to" if get_origin(info.annotation) is dict else ", a list of"
        about = info.description or (section.__doc__ or "").strip().splitlines()[0]
        lines = [f"## {title}", "", about, "", *_COLUMNS]
        lines += [_row(*entry) for entry in fields_of(section, name, "")]
        parts.append("\n".join(lines) + "\n")
    plain = [(n, i) for n, i in TADConfig.model_fields.items() if section_of(i.annotation) is None]
    lines = ["## Beside the sections", "", *_COLUMNS]
    lines += [_row(name, info, recomputes(name, TADConfig, name, info)) for name, info in plain]
    parts.append("\n".join(lines) + "\n")
    parts.append(_components())
    return "\n".join(parts)


def _components() -> str:
    """The table of what a new version of the code computes again."""
    lines = [_COMPONENTS]
    for name, version in VERSIONS.items():
        stages = ", ".join(f"`{stage}`" for stage, used in USED.items() if name in used)
        lines.append(f"| `{name}` | {version} | {stages} |")
    return "\n".join(lines) + "\n"


def _row(name: str, info: FieldInfo, again: str) -> str:
    return (
        f"| `{name}` | {_default(info)} | {again} | {(info.description or '').replace('|', chr(92) + '|')} |"
    )


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    value = info.get_default(call_default_factory=True)
    if value is PydanticUndefined or value is None:
        return "–"
    if isinstance(value, (list, tuple)) and any(isinstance(v, Strict) for v in value):
        return "see code"
    return f"`{json.dumps(value)}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
