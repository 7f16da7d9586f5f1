"""What `tad doctor` says of the isolation of programs: the tier, what is missing, the command that mends it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flows import doctor
from tad_core.verify.sandbox import tiers
from tests.tad_core.verify.conftest import require


@pytest.fixture(autouse=True)
def fresh_probes() -> Iterator[None]:
    tiers._probe.cache_clear()
    yield
    tiers._probe.cache_clear()  # what was pretended here must not be believed elsewhere


def test_tier_1_is_fine() -> None:
    require(1)
    finding = doctor._sandbox()
    assert (finding.state, finding.remedy) == ("ok", "")
    assert finding.detail.startswith("tier 1")


def test_without_bubblewrap_tier_2_is_a_warning_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    require(2)
    monkeypatch.setattr(tiers, "bubblewrap", lambda: None)
    finding = doctor._sandbox()
    assert finding.state == "warning"
    assert "tier 2" in finding.detail and "bubblewrap is not installed" in finding.detail
    assert "apt-get install bubblewrap" in finding.remedy


def test_no_isolation_at_all_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiers, "probe", lambda tier: ["self-test: failed: ['fork']"])
    finding = doctor._sandbox()
    assert finding.state == "problem" and "fork" in finding.detail
