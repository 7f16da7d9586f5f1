"""docs/settings.md says what the fields and their marks say."""

from __future__ import annotations

import re

import pytest

from tad_core.config import TADConfig
from tad_core.config.marks import FIRST_STAGE, leaves, with_cost
from tad_core.config.tables import PAGE, page


def test_the_page_is_what_the_code_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "write it anew: python -m tad_core.config.tables"
    assert FIRST_STAGE.keys() == TADConfig.model_fields.keys()


@pytest.mark.parametrize(
    "row",
    [
        "| `micro_batch_size` | `4` | nothing; with `lora.dropout` above 0 it draws other masks,",
        "| `gradient_checkpointing` | `false` | nothing |",
        "| `learning_rate` | `2e-05` | distil and all after it |",
        "| `lora.rank` | `128` | distil and all after it |",
        "| `bootstrap` | `1000` | report |",
        "| `decode.block_length` | `32` | evaluate and report |",
        "| `workers` | `2` | nothing |",
        '| `device` | `"auto"` | nothing |',
        '| `store` | `"runs/store"` | nothing |',
        "| `response_length` | `256` | collect and all after it |",
    ],
)
def test_rows_by_hand(row: str) -> None:
    assert f"{row} " in page()


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("distill.gradient_checkpointing", "distill.gradient_checkpointing (recomputes nothing)"),
        ("distill.micro_batch_size", "distill.micro_batch_size (recomputes nothing)"),
        ("rollout.response_length", "rollout.response_length (recomputes collect and all after it)"),
        ("distill.lora.rank", "distill.lora.rank (recomputes distil and all after it)"),
    ],
)
def test_a_remedy_says_what_the_page_says(path: str, said: str) -> None:
    assert with_cost(path) == said


def test_a_remedy_names_no_setting_that_is_gone() -> None:
    with pytest.raises(KeyError):
        with_cost("evaluate.decode.decoded_threshold")
    named = {
        name
        for file in (PAGE.parents[1] / "tad_core").rglob("*.py")
        for name in re.findall(r"""with_cost\(["']([\w.]+)["']\)""", file.read_text(encoding="utf-8"))
    }
    assert len(named) >= 6 and named <= dict(leaves()).keys()


def test_no_remedy_writes_a_cost_by_hand() -> None:
    by_hand = [
        file.name
        for file in (PAGE.parents[1] / "tad_core").rglob("*.py")
        if "(recomputes " in file.read_text(encoding="utf-8") and file.name != "marks.py"
    ]
    assert by_hand == []
