"""Hostile programs, each with what the verifier must say of it. A pass is a breach.

Every program is judged by tests that a correct program passes. Where a program reaches for something of
the host, it answers correctly only if it got it: then, too, a pass is a breach.
"""

from __future__ import annotations

from dataclasses import dataclass

from tad_core.verify import Verdict

SQUARE_TESTS = "from solution import f\n\ndef test_square():\n    assert f(2) == 4\n    assert f(3) == 9\n"


@dataclass(frozen=True)
class Attack:
    """A hostile program.

    Attributes:
        name: what it tries.
        program: its source; ``{host}``, ``{port}`` and the like are filled in by the test.
        expected: the verdicts that are right; a pass never is.
        tests: the tests it faces.
        tiers: the tiers that promise to hold it.
    """

    name: str
    program: str
    expected: frozenset[Verdict]
    tests: str = SQUARE_TESTS
    tiers: tuple[int, ...] = (1, 2)


def attack(
    name: str, program: str, *expected: str, tests: str = SQUARE_TESTS, tiers: tuple[int, ...] = (1, 2)
) -> Attack:
    """An attack with its verdicts by name."""
    return Attack(name, program.strip("\n"), frozenset(map(Verdict, expected)), tests, tiers)


def reach(name: str, body: str, *expected: str, tiers: tuple[int, ...] = (1, 2)) -> Attack:
    """An attack whose ``prize()`` returns something true if it reached what it must not."""
    program = f"import os, sys, ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n\ndef prize():\n{_indented(body)}\n"
    program += "\n\ndef f(x):\n    return x * x if prize() else -1\n"
    return attack(name, program, *(expected or ("failed",)), tiers=tiers)


def _indented(body: str) -> str:
    return "\n".join("    " + line for line in body.strip("\n").splitlines())
