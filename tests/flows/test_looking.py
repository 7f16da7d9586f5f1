"""Looking at a finished run: its texts by verdict, one problem in colour, another run beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from flows.cli import app
from flows.compare import Number, Run, differences, same_problems
from tad_core.artifacts import Store
from tad_core.config import parse_config
from tad_core.evaluation.bootstrap import Estimate, Interval
from tad_core.evaluation.records import Record, write_records
from tad_core.report.scores import Scores
from tad_core.stages.pipeline import run_pipeline

pytestmark = pytest.mark.usefixtures("forked")


@pytest.fixture(scope="module")
def runs(make_tree: Callable[[Path], dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two finished runs, the second with another threshold; their configurations."""
    folder = tmp_path_factory.mktemp("looking")
    files = []
    for name, threshold in (("one", 0.5), ("two", 0.9)):
        tree = make_tree(folder / "store")
        tree["rollout"]["compare_plain"] = 2
        tree["data"][0]["count"] = 6
        tree["evaluate"] |= {"thresholds": [threshold], "operating_threshold": threshold, "models": ["base"]}
        tree["evaluate"]["tasks"][0]["name"] = "task"
        run_pipeline(parse_config(tree), Store(tree["store"]))
        files.append(folder / f"{name}.yaml")
        files[-1].write_text(yaml.safe_dump(tree))
    return files


def call(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(map(str, words)), env={"COLUMNS": "80", "TERM": "xterm"})
    return done.exit_code, done.output


def texts(*words: object) -> list[dict[str, Any]]:
    code, output = call("show", *words, "--json", "--limit", 0)
    assert code == 0, output
    return [json.loads(line) for line in output.splitlines()]


def test_everything_that_was_written_is_there_and_filters_narrow_it(runs: list[Path]) -> None:
    everything = texts(runs[0])
    groups = {(t["source"], t["model"], t["way"]) for t in everything}
    assert groups == {
        ("solvable", "teacher", "privileged"),
        ("solvable", "teacher", "plain"),
        ("task", "base", "token by token"),
        ("task", "base", "threshold 0.5"),
    }
    assert len(everything) == 6 + 2 + 3 + 3
    passed = texts(runs[0], "--verdict", "passed", "--way", "privileged")
    assert passed and all(t["verdict"] == "passed" and t["model"] == "teacher" for t in passed)
    wrong = texts(runs[0], "--verdict", "wrong") if any(t["verdict"] != "passed" for t in everything) else []
    assert len(wrong) == sum(t["verdict"] != "passed" for t in everything)


def test_the_overview_counts_and_fits_a_terminal(runs: list[Path]) -> None:
    code, output = call("show", runs[0])
    assert code == 0, output
    assert "8 trajectories" in output and "token by token" in output
    table = [line for line in output.splitlines() if line.startswith(("solvable ", "task "))]
    assert len(table) == 4
    store, *rest = output.splitlines()
    assert store.endswith("store") and all(len(line) <= 80 for line in rest), "paths are within the store"
    assert "privileged-00000" in rest[1] and rest[1].strip().startswith("collect/")


def test_one_problem_has_its_prompt_reference_and_every_text(runs: list[Path]) -> None:
    chosen = texts(runs[0])[0]
    code, output = call("show", runs[0], "--problem", chosen["problem_id"])
    assert code == 0, output
    flat = " ".join(output.split())
    for told in ("prompt", "reference", "answer", "teacher, privileged, sample 0", "first to last step"):
        assert told in flat, told
    assert "".join(chosen["text"].split()) in "".join(output.split())


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--verdict", "rigth", "use one of passed"),
        ("--model", "speed", "use one of teacher, base"),
        ("--problem", "solvable/9999", "did you mean"),
    ],
)
def test_a_filter_that_fits_nothing_says_what_would(
    option: str, value: str, told: str, runs: list[Path]
) -> None:
    code, output = call("show", runs[0], option, value)
    assert code == 2 and option in output and told in " ".join(output.split())


def test_two_runs_are_held_side_by_side(runs: list[Path]) -> None:
    code, output = call("compare", *runs)
    assert code == 0, output
    assert "evaluate.operating_threshold: 0.5 | 0.9" in output and "tokens/forward" in output
    assert "on the same problems" in " ".join(output.split())
    code, output = call("compare", *runs, "--json")
    content = json.loads(output)
    assert [run["judged"] for run in content["runs"]] == [6, 6]
    same = [row for row in content["numbers"] if row["what"] == "accuracy 1 by 1 %"]
    assert same and all(row["first"] == row["second"] and row["apart"] is False for row in same)
    assert all(row["difference"]["value"] == 0 for row in same)
    (aup,) = [row for row in content["numbers"] if row["what"] == "AUP"]
    assert aup["difference"]["value"] == pytest.approx(aup["second"] - aup["first"])
    assert {path for path, _, _ in content["settings"]} == {
        "evaluate.thresholds",
        "evaluate.operating_threshold",
    }


def run_of(store: Store, name: str, problems: str, count: int, seed: int = 0) -> Run:
    """A run in which the first half of the problems is solved."""
    records = [
        Record("sums", "base", *way, f"p{i}", i < count // 2, "equal", 4, 8, 8, 0.1, "t")
        for way in (("token_by_token", 0.0), ("entropy", 0.5))
        for i in range(count)
    ]
    with store.writer("evaluate", 1, name, {"problems": problems}) as writer:
        write_records(writer.path("results.parquet"), records)
        ref = writer.commit({})
    scores = Scores(name=name, operating_threshold=0.5, aup_alpha=3, bootstrap=50, tasks=[], average=[])
    config = {"evaluate": {"tasks": [{"name": "sums", "seed": seed}]}}
    return Run(name, config, scores, 1, 1, (ref,))


def test_runs_are_paired_where_they_asked_the_same_problems(tmp_path: Path) -> None:
    store = Store(tmp_path)
    one = run_of(store, "one", "x", 4)
    assert same_problems(one, run_of(store, "two", "x", 4, seed=1))["sums"].problems == 4
    assert "sums" in same_problems(one, run_of(store, "three", "y", 4)), (
        "another task beside it changes nothing"
    )
    assert same_problems(one, run_of(store, "four", "y", 4, seed=1)) == {}, "the same names, other problems"
    assert same_problems(one, run_of(store, "five", "y", 6)) == {}, "more of them"


def test_what_is_no_finished_run_is_told(runs: list[Path], tmp_path: Path) -> None:
    code, output = call("compare", runs[0], tmp_path)
    assert code == 2 and "no configuration, store or report" in " ".join(output.split())
    tree = yaml.safe_load(runs[0].read_text())
    tree["store"] = str(tmp_path / "none")
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(tree))
    code, output = call("compare", tmp_path / "c.yaml", runs[0])
    assert code == 2 and "no finished report" in output


def test_intervals_that_share_no_point_are_apart() -> None:
    low, high = Interval(low=1, high=2), Interval(low=2.5, high=3)
    number = Number("t", "m", "AUP", 1.5, 2.7, low, high)
    assert number.apart and number._replace(second_interval=low).apart is False
    assert number._replace(second_interval=None).apart is None
    paired = number._replace(difference=Estimate(1.2, Interval(-0.1, 2.5)))
    assert paired.apart is False, "on the same problems, the difference decides"


def test_settings_that_differ_are_named_by_their_path() -> None:
    one = {"a": {"b": 1, "c": [1, 2]}, "d": [{"e": 1}]}
    two = {"a": {"b": 2, "c": [1, 2]}, "d": [{"e": 1}, {"e": 2}]}
    assert differences(one, two) == [("a.b", "1", "2"), ("d.1.e", "–", "2")]
