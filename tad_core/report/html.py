"""The report as one HTML file: styles and pictures inside, nothing loaded from anywhere.

Every text goes through Jinja's autoescape; a content security policy forbids scripts and requests besides.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tad_core.report.document import Document
from tad_core.report.markdown import data_uri
from tad_core.report.table import is_text
from tad_core.report.theme import DARK, LIGHT

_TEMPLATES = Path(__file__).parent / "templates"


def render_html(document: Document, pictures: Mapping[str, tuple[bytes, bytes]]) -> str:
    """The page.

    Args:
        document: what it says.
        pictures: light and dark PNG of each picture by its name.
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["is_text"] = is_text
    environment.filters["bound"] = _bound
    template = environment.get_template("report.html")
    return template.render(
        document=document,
        css=(_TEMPLATES / "report.css").read_text(encoding="utf-8"),
        pictures={name: (data_uri(light), data_uri(dark)) for name, (light, dark) in pictures.items()},
        light=LIGHT,
        dark=DARK,
        kinds=(("result", "What it shows"), ("fact", "The run"), ("caution", "What to bear in mind")),
    )


def _bound(text: str) -> str:
    """The text with its percent signs tied to their numbers."""
    return text.replace(" %", "\N{NO-BREAK SPACE}%")
