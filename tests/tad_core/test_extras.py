"""The command that a message names for a missing package is one that works: no index has this package by its name."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tad_core import extras

ROOT = Path(__file__).resolve().parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "optional-dependencies"
]


def test_in_a_checkout_it_takes_the_pins() -> None:
    assert extras.how_to_install("gpu") == '.venv/bin/pip install -c constraints.txt -e ".[gpu]"'


def test_from_a_wheel_it_names_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "__file__", str(tmp_path / "site-packages" / "tad_core" / "extras.py"))
    metadata = [
        "rich>=13.0",
        's3fs>=2024.6; extra == "s3"',
        'deepspeed>=0.16 ; extra == "gpu"',
        'a; extra == "s3x"',
    ]
    monkeypatch.setattr(extras, "requires", lambda name: metadata)
    assert extras.how_to_install("s3") == "pip install 's3fs>=2024.6'"
    assert extras.how_to_install("gpu") == "pip install 'deepspeed>=0.16'"


def test_no_message_names_an_extra_of_a_package_that_no_index_has() -> None:
    code = [file for folder in ("tad_core", "flows", "tasks") for file in (ROOT / folder).rglob("*.py")]
    named = {file.name: text for file in code if "tad[" in (text := file.read_text(encoding="utf-8"))}
    assert not named
    asked = {"gpu", "quantize", "gguf", "s3"}
    assert asked <= set(EXTRAS)
