"""The names that stay: all are there, all are documented, and the page's own code runs."""

from __future__ import annotations

import dataclasses
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tad

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
WHOLE_RUN = "run_pipeline(config"


@pytest.mark.parametrize("name", tad.__all__)
def test_every_name_is_there_with_a_docstring_and_on_both_pages(name: str) -> None:
    assert inspect.getdoc(getattr(tad, name))
    assert f"`{name}`" in PAGE
    assert f"::: {getattr(tad, name).__module__}.{name}\n" in (ROOT / "docs" / "api.md").read_text(
        encoding="utf-8"
    )


@pytest.mark.parametrize("name", tad.__all__)
def test_every_parameter_of_every_name_is_told_of(name: str) -> None:
    """By a function's or a data class's docstring, or as the description of a setting."""
    thing = getattr(tad, name)
    if issubclass(type(thing), type) and hasattr(thing, "model_fields"):
        assert [field for field, info in thing.model_fields.items() if not info.description] == []
        return
    told = inspect.getdoc(thing) or ""
    if not dataclasses.is_dataclass(thing) and isinstance(thing, type):
        told += inspect.getdoc(thing.__init__) or ""
    missing = [each for each in inspect.signature(thing).parameters if not re.search(rf"\b{each}\b", told)]
    assert missing == []


def test_another_name_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(AttributeError, match=r"'nothing'; it has DecodeSpec, .*teacher_prompt"):
        _ = tad.nothing
    assert set(tad.__all__) <= set(dir(tad))


def test_importing_it_loads_nothing() -> None:
    code = "import sys, tad; sys.exit(', '.join({'torch', 'numpy', 'prefect', 'pydantic'} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_code_of_the_page_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    shown = re.findall(r"```python\n(.*?)```", PAGE, flags=re.S)
    (first,) = (code for code in shown if WHOLE_RUN not in code)
    names: dict[str, object] = {}
    exec(compile(first, "library.md", "exec"), names)
    assert names["verdicts"] == ["passed"] * 4
    near, distant = names["near"], names["distant"]
    assert near.sum() == 8 and distant.sum() == 64 - 10 - 8  # type: ignore[attr-defined]
    assert 0 < float(names["loss"]) < 10  # type: ignore[arg-type]
    assert names["area"] > 0  # type: ignore[operator]
    used = set(re.findall(r"\btad\.(\w+)", "".join(shown)))
    assert used == set(tad.__all__) - {"Problem"}
