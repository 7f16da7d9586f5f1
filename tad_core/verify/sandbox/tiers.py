"""Which isolation this machine can give, found by trying it."""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass, field

from tad_core.errors import VerifierError
from tad_core.verify.config import SandboxChoice
from tad_core.verify.sandbox.launch import bubblewrap
from tad_core.verify.sandbox.probe import probe

NAMES = {
    1: "tier 1: bubblewrap, namespaces for each program, seccomp",
    2: "tier 2: Landlock, seccomp, own uid where root",
    3: "tier 3: NO ISOLATION, resource limits only",
}
_INSTALL = "apt-get install bubblewrap (as root)"


@dataclass(frozen=True)
class TierReport:
    """The isolation of untrusted programs on this machine.

    Attributes:
        tier: 1, 2 or 3; 0 if none that was allowed works.
        name: the tier in words, for a report.
        problems: why a better tier is not given.
        remedy: the command or setting that would give a better one; empty in tier 1.
    """

    tier: int
    name: str
    problems: list[str] = field(default_factory=list)
    remedy: str = ""


def detect_tier(choice: SandboxChoice = "auto") -> TierReport:
    """The tier that ``choice`` gives here, each tried with a hostile program first (a second, cached)."""
    if choice == "none_i_accept_the_risk":
        return TierReport(
            3, NAMES[3], ["isolation was switched off by the configuration"], "set filter.sandbox to auto"
        )
    problems: list[str] = []
    remedy = ""
    if choice in ("auto", "tier1"):
        found = _probe(1)
        if not found:
            return TierReport(1, NAMES[1])
        problems += [f"tier 1: {problem}" for problem in found]
        remedy = _remedy_for_tier_1()
    if choice in ("auto", "tier2"):
        found = _probe(2)
        if not found:
            return TierReport(2, NAMES[2], problems, remedy or "set filter.sandbox to auto for tier 1")
        problems += [f"tier 2: {problem}" for problem in found]
        remedy = remedy or "use Linux 5.13 or newer with Landlock, and install libseccomp2"
    return TierReport(0, "no isolation available", problems, remedy)


def require_tier(choice: SandboxChoice) -> TierReport:
    """As ``detect_tier``, but an error where the choice cannot be had: nothing runs unprotected."""
    report = detect_tier(choice)
    if report.tier == 0:
        raise VerifierError(
            f"filter.sandbox: {choice!r} cannot be given on this machine: {'; '.join(report.problems)}. "
            f"Remedy: {report.remedy}"
        )
    return report


@functools.lru_cache(maxsize=4)
def _probe(tier: int) -> tuple[str, ...]:
    if not sys.platform.startswith("linux"):
        return (f"needs Linux, this is {sys.platform}",)
    if tier == 1 and bubblewrap() is None:
        return ("bubblewrap is not installed",)
    return tuple(probe(tier))


def _remedy_for_tier_1() -> str:
    if bubblewrap() is None:
        return _INSTALL
    return (
        "allow unprivileged user namespaces (sysctl user.max_user_namespaces; in Docker a seccomp profile "
        "that permits unshare, clone and mount: docs/verification.md)"
    )
