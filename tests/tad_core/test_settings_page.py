"""docs/settings.md says what the fields and their marks say."""

from __future__ import annotations

import pytest

from tad_core.config import TADConfig
from tad_core.config.tables import FIRST_STAGE, PAGE, page


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
