"""Which run ``tad resume`` goes on with, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.resume import newest_unfinished
from tad_core.artifacts.runs import RunRecord, begin, end, save
from tad_core.config import parse_config
from tad_core.errors import ConfigError
from tests.drills.common import tree_of


def started(folder: Path, **change: Any) -> RunRecord:
    """A run of a process that is gone."""
    tree = parse_config(tree_of(str(folder), 1)).model_dump(mode="json")
    record = begin(str(folder), {**tree, **change}, "filter")
    dead = record.model_copy(update={"process_started": 1.0})
    save(str(folder), dead)
    return dead


def test_the_newest_of_all_stores_under_runs_goes_on_as_it_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ConfigError, match=rf"resume: no unfinished run in {tmp_path}/runs; start one with `tad run CONFIG`"
    ):
        newest_unfinished(None)
    first, second = tmp_path / "runs" / "one", tmp_path / "runs" / "two"
    started(first)
    newest = started(second, name="other")
    config, until, told, *_ = newest_unfinished(None)
    assert (config.name, config.store, until) == ("other", str(second), "filter")
    assert "going on with other to filter" in told and "it was killed" in told
    end(str(second), newest, "done")
    assert newest_unfinished(None)[0].store == str(first)
    assert newest_unfinished(None, store="runs/one")[0].store == str(first)
    with pytest.raises(ConfigError, match="no unfinished run"):
        newest_unfinished(None, store="runs/two")


def test_only_runs_of_the_named_configuration_count(tmp_path: Path) -> None:
    started(tmp_path)
    started(tmp_path, name="other")
    mine = parse_config(tree_of(str(tmp_path), 1))
    assert newest_unfinished(mine)[0].name == "drill"
    with pytest.raises(ConfigError, match="a run goes on with the settings it was started with"):
        newest_unfinished(mine, ["rollout.seed=1"])


def test_unfinished_runs_of_another_name_are_told(tmp_path: Path) -> None:
    started(tmp_path, name="other")
    mine = parse_config(tree_of(str(tmp_path), 1))
    with pytest.raises(
        ConfigError,
        match=rf"no unfinished run of drill in {tmp_path}; those there are called other: .* --store",
    ):
        newest_unfinished(mine)


def test_a_run_goes_on_where_it_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths of its settings mean the same there."""
    (home := tmp_path / "home").mkdir()
    monkeypatch.chdir(home)
    started(tmp_path / "store")
    assert newest_unfinished(None, store=str(tmp_path / "store")).folder == home
    monkeypatch.chdir(tmp_path)
    found = newest_unfinished(None, store="store")
    assert found.folder == home and found.told.endswith(f", from {home}")
    home.rmdir()
    assert newest_unfinished(None, store="store").folder == tmp_path, "as good as it gets"


def test_a_run_that_is_alive_is_left_alone(tmp_path: Path) -> None:
    tree = parse_config(tree_of(str(tmp_path), 1)).model_dump(mode="json")
    begin(str(tmp_path), tree, "collect")
    with pytest.raises(ConfigError, match="is still running; wait for it or stop it"):
        newest_unfinished(parse_config(tree))


def test_what_a_run_was_to_compute_again_is_computed_again(tmp_path: Path) -> None:
    """Else what it was to replace would be taken for what it has made."""
    tree = parse_config(tree_of(str(tmp_path), 1)).model_dump(mode="json")
    record = begin(str(tmp_path), tree, "filter", force=["filter", "collect"])
    save(str(tmp_path), record.model_copy(update={"process_started": 1.0}))
    found = newest_unfinished(None, store=str(tmp_path))
    assert found.force == ["collect", "filter"]
    assert found.told.endswith(", with --force collect --force filter, which begins anew")
    end(str(tmp_path), record, "done")
    with pytest.raises(ConfigError, match="no unfinished run"):
        newest_unfinished(None, store=str(tmp_path))


def test_a_store_that_nothing_here_opens_is_refused() -> None:
    result = CliRunner().invoke(app, ["resume", "--store", "nowhere://x"])
    assert (
        result.exit_code == 2
        and "store: nowhere://x begins with nowhere://, which is not known" in result.output
    )
