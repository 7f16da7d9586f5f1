"""The notebooks' own code runs, from the folder that it is opened in."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib as mpl
import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def code_of(notebook: Path) -> list[str]:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda n: n.stem)
def test_every_cell_was_run_in_order_without_an_error(notebook: Path) -> None:
    cells = [c for c in json.loads(notebook.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert {o["output_type"] for cell in cells for o in cell["outputs"]} <= {
        "execute_result",
        "display_data",
        "stream",
    }


@pytest.mark.slow
def test_from_collection_to_aup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT / "notebooks")
    mpl.use("Agg")
    names: dict[str, object] = {}
    for number, code in enumerate(code_of(ROOT / "notebooks" / "collect_to_aup.ipynb"), 1):
        exec(compile(code, f"cell {number}", "exec"), names)
    kept, window, points = names["kept"], names["window"], names["points"]
    assert len(kept) >= 18 and 5 <= window <= 40  # type: ignore[arg-type,operator]
    rates = [rate for rate, _ in points]  # type: ignore[attr-defined]
    assert rates == sorted(rates) and rates[-1] > 3 * rates[0]
    assert names["area"] > 0  # type: ignore[operator]
