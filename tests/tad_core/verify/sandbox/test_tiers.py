"""Isolation is tried before it is used, and nothing runs where it fails."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tad_core.errors import VerifierError
from tad_core.verify import Verdict, detect_tier, run_tests
from tad_core.verify.sandbox import filter, launch, probe, runtime, tiers
from tad_core.verify.sandbox.filter import compile_filter
from tad_core.verify.sandbox.launch import slot_uids
from tests.tad_core.verify.conftest import require


@pytest.fixture(autouse=True)
def fresh_probes() -> Iterator[None]:
    tiers._probe.cache_clear()
    yield
    tiers._probe.cache_clear()  # what was pretended here must not be believed elsewhere


@pytest.mark.parametrize("number", [1, 2])
def test_the_hostile_probe_is_clean(number: int) -> None:
    require(number)
    assert probe.probe(number) == []


def test_a_sandbox_that_dies_by_chance_says_nothing_of_its_tier(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a busy machine would judge in another tier, by other verdicts."""
    died: list[bool] = []

    class Dying:
        def __init__(self, tier: int) -> None: ...
        def kill(self) -> None: ...
        def run(self, *job: object) -> dict[str, Any]:
            died.append(True)
            if len(died) == 1:
                raise launch.KeeperError("killed")
            verdict = "infrastructure_error" if len(died) == 2 else "passed"
            return {"verdict": verdict, "reason": "killed from outside"}

    monkeypatch.setattr(probe, "Keeper", Dying)
    assert probe.probe(1) == [] and len(died) == 3


def test_auto_takes_the_best_tier_that_is_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes: dict[int, list[str]] = {1: [], 2: []}
    monkeypatch.setattr(tiers, "probe", lambda tier: outcomes[tier])
    monkeypatch.setattr(tiers, "bubblewrap", lambda: "/usr/bin/bwrap")
    assert detect_tier().tier == 1
    tiers._probe.cache_clear()
    outcomes[1] = ["self-test: failed: fork"]
    report = detect_tier()
    assert (report.tier, report.problems) == (2, ["tier 1: self-test: failed: fork"])
    assert "user namespaces" in report.remedy


def test_without_bubblewrap_tier_2_is_given_and_the_remedy_named(monkeypatch: pytest.MonkeyPatch) -> None:
    require(2)
    monkeypatch.setattr(tiers, "bubblewrap", lambda: None)
    report = detect_tier()
    assert report.tier == 2
    assert report.problems == ["tier 1: bubblewrap is not installed"]
    assert "apt-get install bubblewrap" in report.remedy


def test_where_no_tier_works_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiers, "probe", lambda tier: ["self-test: failed: ['fork']"])
    assert detect_tier().tier == 0
    with pytest.raises(VerifierError, match=r"filter.sandbox: 'auto' cannot be given .* Remedy:"):
        tiers.require_tier("auto")
    with pytest.raises(VerifierError):
        tiers.require_tier("tier1")


def test_tier_3_is_never_automatic_and_says_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    report = detect_tier("none_i_accept_the_risk")
    assert report.tier == 3
    assert "NO ISOLATION" in report.name
    result = run_tests("def f(x): return x * x", "assert f(3) == 9", sandbox="none_i_accept_the_risk")
    assert result.verdict is Verdict.PASSED


@pytest.mark.parametrize(
    ("allowed", "attempt"),
    [
        ({"clone"}, "fork"),
        ({"shmget"}, "shared_memory"),
        ({"kill"}, "signal_all"),
        ({"socket"}, "network"),
        ({"unshare"}, "user_namespace"),
    ],
)
def test_the_probe_notices_a_hole(allowed: set[str], attempt: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its silence means something: with one call too many allowed it names what that opens."""
    require(2)
    monkeypatch.setattr(filter, "_ALLOWED", filter._ALLOWED | allowed)
    filter.compile_filter.cache_clear()
    try:
        found = probe.probe(2)
    finally:
        filter.compile_filter.cache_clear()
    assert len(found) == 1 and attempt in found[0]


def test_a_protection_that_cannot_be_put_up_is_an_error_and_no_verdict(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    require(2)
    monkeypatch.setattr(launch, "compile_filter", lambda scratch: b"")
    found = probe.probe(2)
    assert len(found) == 1 and "infrastructure_error" in found[0]


def test_the_filter_is_a_program() -> None:
    require(2)
    without, with_files = compile_filter(False), compile_filter(True)
    assert len(without) % 8 == 0 and 100 * 8 < len(without) < len(with_files)


def test_the_interpreter_is_not_staged_where_others_could_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime.tempfile, "gettempdir", lambda: str(tmp_path))
    base = tmp_path / f"tad-verify-{os.geteuid()}"
    base.mkdir()
    base.chmod(0o777)
    with pytest.raises(VerifierError, match="not owned by this user alone"):
        runtime.staged_runtime()


def test_staging_is_done_once_and_leaves_nothing_half_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime.tempfile, "gettempdir", lambda: str(tmp_path))
    first = runtime.staged_runtime()
    stamp = (first.python / "complete").stat().st_mtime_ns
    assert runtime.staged_runtime() == first
    assert (first.python / "complete").stat().st_mtime_ns == stamp
    names = sorted(path.name.partition("-")[0] for path in first.python.parent.iterdir())
    assert names == ["own", "python"]
    assert not any("site-packages" in str(path) for path in first.python.rglob("*"))


def test_every_slot_has_uids_of_its_own() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a sandbox a uid of its own")
    uids = [uid for slot in range(8) for uid in slot_uids(slot)]
    assert len(set(uids)) == 16
    assert all(60_000 <= uid < 2**31 for uid in uids)
