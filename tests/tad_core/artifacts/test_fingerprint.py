from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tad_core.artifacts import canonical_json, file_sha256, fingerprint, folder_fingerprint

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def test_hand_written_form() -> None:
    assert canonical_json({"b": [1, 2.5, None], "a": "ü"}) == '{"a":"\\u00fc","b":[1,2.5,null]}'


@given(st.dictionaries(st.text(max_size=4), JSON, max_size=4))
def test_order_of_keys_never_matters(tree: dict[str, object]) -> None:
    assert canonical_json(tree) == canonical_json(dict(reversed(list(tree.items()))))


@pytest.mark.parametrize("value", [{1, 2}, math.nan, math.inf, {1: "a"}, Path("x"), b"x", object()])
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        canonical_json({"field": value})


def test_every_part_counts() -> None:
    base = fingerprint("collect", 1, {"seed": 0}, ["a"])
    assert len(base) == 32
    others = {
        fingerprint("filter", 1, {"seed": 0}, ["a"]),
        fingerprint("collect", 2, {"seed": 0}, ["a"]),
        fingerprint("collect", 1, {"seed": 1}, ["a"]),
        fingerprint("collect", 1, {"seed": 0}, ["b"]),
        fingerprint("collect", 1, {"seed": 0}, []),
    }
    assert base not in others and len(others) == 5


def test_the_same_in_another_process() -> None:
    code = "from tad_core.artifacts import fingerprint; print(fingerprint('s', 1, {'a': [1, 'x'], 'b': 2.5}, ['i']))"
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed},
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert seen == {fingerprint("s", 1, {"b": 2.5, "a": [1, "x"]}, ["i"])}


def test_a_folder_is_known_by_its_content_not_its_path(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        (tmp_path / name / "notes.md").write_text(name)
    same = folder_fingerprint(tmp_path / "one")
    assert same == folder_fingerprint(tmp_path / "two")
    (tmp_path / "two" / "config.json").write_text("{ }")
    assert same != folder_fingerprint(tmp_path / "two")
    assert file_sha256(tmp_path / "one" / "config.json").startswith("44136fa355b3678a")
