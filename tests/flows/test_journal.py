"""A run's own record: what the run does where it cannot be written."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from flows import journal
from tad_core.artifacts import Store, files, runs
from tad_core.config import TADConfig, parse_config
from tad_core.errors import StoreError
from tests.drills.common import tree_of


@pytest.fixture
def config(tmp_path: Path) -> TADConfig:
    return parse_config(tree_of(str(tmp_path), 1))


def refuse(url: str, content: bytes) -> None:
    raise OSError(errno.ENOSPC, "No space left on device", url)


def test_a_full_disk_is_told_before_any_work(config: TADConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "write_bytes", refuse)
    with (
        pytest.raises(
            StoreError, match=r"cannot be written \(the disk is full\); what was finished before is safe"
        ),
        journal.recorded(config, Store(config.store), "report"),
    ):
        pytest.fail("it began")


def test_what_is_done_stays_done_on_a_disk_that_is_full_by_then(
    config: TADConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with journal.recorded(config, Store(config.store), "report"):
        monkeypatch.setattr(runs, "write_bytes", refuse)
    assert "that this run ended could not be noted for tad resume" in caplog.text
    (record,) = runs.records(config.store)
    assert record.state == "running"


@pytest.mark.parametrize("what", ["write_bytes", "list_names"])
def test_a_store_that_does_not_answer_costs_the_record_alone(
    what: str, config: TADConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_: object) -> None:
        raise OSError("Could not connect to the endpoint URL")

    store = Store("memory://away")
    with monkeypatch.context() as outage:
        outage.setattr(runs, what, away)
        with journal.recorded(config, store, "report"):
            pass
    assert "that this run begins could not be noted for tad resume: Could not connect" in caplog.text
    assert not files.list_names(f"{store.root}/.runs")


def test_the_record_of_another_user_ends_no_run(config: TADConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = runs.begin(config.store, {"name": "a"}, "collect")
    runs.save(config.store, theirs.model_copy(update={"process_started": 1.0}))

    def guarded(url: str, content: bytes) -> None:
        if theirs.id in url:
            raise PermissionError(errno.EACCES, "Permission denied", url)
        files.write_bytes(url, content)

    monkeypatch.setattr(runs, "write_bytes", guarded)
    with journal.recorded(config, Store(config.store), "report"):
        pass
    assert {record.state for record in runs.records(config.store)} == {"running", "done"}
