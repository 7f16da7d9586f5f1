"""The report as Markdown: a file beside its pictures."""

from __future__ import annotations

import base64
import re
from pathlib import Path

from tad_core.report.document import Document, Section
from tad_core.report.summary import Finding
from tad_core.report.table import escape_markdown, to_markdown

REPORT_NAME = "report.md"
_KINDS = (("result", "What it shows"), ("fact", "The run"), ("caution", "What to bear in mind"))


def render_markdown(document: Document) -> str:
    """The report; pictures are referred to by file name."""
    parts = [f"# {escape_markdown(document.title)}", *_findings(document.findings)]
    for section in document.sections:
        parts += _section(section)
    parts.append("## Where it comes from")
    parts.append("\n".join(f"- {escape_markdown(k)}: {escape_markdown(v)}" for k, v in document.facts))
    parts += [
        "<details><summary>Settings that decide the result</summary>",
        _fenced(document.config),
        "</details>",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def data_uri(picture: Path | bytes) -> str:
    """A PNG as a ``data:`` URI."""
    content = picture if isinstance(picture, bytes) else picture.read_bytes()
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")


def _findings(found: list[Finding]) -> list[str]:
    parts = []
    for kind, title in _KINDS:
        lines = [f"- {escape_markdown(f.text)}" for f in found if f.kind == kind]
        if lines:
            parts += [f"**{title}**", "\n".join(lines)]
    return parts


def _section(section: Section) -> list[str]:
    parts = [f"## {section.title}", *(escape_markdown(text) for text in section.text)]
    if section.quote:
        parts.append("\n".join(f"> {escape_markdown(line)}" for line in section.quote.split("\n")))
    if (picture := section.picture) is not None:
        parts.append(f"![{_alt(picture.alt)}]({picture.name}.png)")
        if picture.caption:
            parts.append(f"*{escape_markdown(picture.caption)}*")
    parts += [to_markdown(table) for table in section.tables]
    for table in section.folded:
        parts += [f"<details><summary>{table.title}</summary>", to_markdown(table), "</details>"]
    return parts


def _alt(text: str) -> str:
    # No bracket, not even an escaped one, so that simple readers of Markdown find the picture too.
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return " ".join(text.translate(str.maketrans("[]\\", "() ")).split())


def _fenced(text: str) -> str:
    """A code block whose fence is longer than any inside it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}yaml\n{text.rstrip()}\n{fence}"
