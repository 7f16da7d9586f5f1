"""The notebooks' own code runs, from the folder that it is opened in."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def code_of(notebook: Path) -> list[tuple[str, bool]]:
    """The source of every cell of code, and whether it sets the parameters."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return [
        ("".join(cell["source"]), "parameters" in cell["metadata"].get("tags", []))
        for cell in cells
        if cell["cell_type"] == "code"
    ]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda n: n.stem)
def test_every_cell_was_run_in_order_without_an_error(notebook: Path) -> None:
    cells = [c for c in json.loads(notebook.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert {o["output_type"] for cell in cells for o in cell["outputs"]} <= {
        "execute_result",
        "display_data",
        "stream",
    }


def run(name: str, monkeypatch: pytest.MonkeyPatch, **parameters: int) -> dict[str, Any]:
    """What a notebook's cells leave, run one after the other, with other values for its parameters."""
    monkeypatch.chdir(ROOT / "notebooks")
    monkeypatch.setattr(sys, "path", [*sys.path])
    mpl.use("Agg")
    torch.set_num_threads(1)
    names: dict[str, Any] = {}
    for number, (code, sets_parameters) in enumerate(code_of(ROOT / "notebooks" / f"{name}.ipynb"), 1):
        exec(compile(code, f"cell {number}", "exec"), names)
        if sets_parameters:
            assert parameters.keys() <= names.keys()
            names.update(parameters)
    return names


@pytest.mark.parametrize("problems", [4, pytest.param(24, marks=pytest.mark.slow)])
def test_from_collection_to_aup(problems: int, monkeypatch: pytest.MonkeyPatch) -> None:
    names = run("collect_to_aup", monkeypatch, PROBLEMS=problems)
    assert len(names["kept"]) >= 0.75 * problems and 5 <= names["window"] <= 40
    rates = [rate for rate, _ in names["points"]]
    assert rates == sorted(rates) and rates[-1] > 3 * rates[0]
    assert names["area"] > 0


@pytest.mark.slow
@pytest.mark.usefixtures("forked_decoders")
@pytest.mark.parametrize(("problems", "steps"), [(4, 2), (24, 4)])
def test_an_objective_of_ones_own_is_trained_beside_tad(
    problems: int, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tad_core.config.objectives import OBJECTIVES

    # So that the notebook's own goes with the test.
    monkeypatch.setitem(OBJECTIVES, "smoothed", OBJECTIVES["tad"])
    names = run("own_objective", monkeypatch, PROBLEMS=problems, STEPS=steps)
    quality, smoothed = (names["losses"][name] for name in ("quality", "smoothed"))
    assert len(quality) == len(smoothed) == steps
    # The same states of the same trajectories: before the first step only what is smoothed differs.
    assert smoothed[0]["distant"] == pytest.approx(quality[0]["distant"], rel=1e-4)
    share, size = 0.1, len(names["tokenizer"])
    hit, miss = 1 - share + share / size, share / size
    floor = -hit * math.log(hit) - (size - 1) * miss * math.log(miss)
    assert all(row["near"] > floor for row in smoothed) and quality[0]["near"] < smoothed[0]["near"]
    assert set(names["found"]) == {"base", "quality", "smoothed"}
