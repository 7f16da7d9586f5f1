"""What a study tries again, how often, and what it waits for."""

from __future__ import annotations

import pytest

from tad_core.errors import DataError, NoAnswerError, SubprocessError, VerifierError
from tad_core.study import patience
from tad_core.study.patience import patiently

AWAY = ConnectionResetError(104, "reset")


class Work:
    """Fails as it is told, then is done."""

    def __init__(self, *fails: Exception) -> None:
        self.fails, self.tries = list(fails), 0

    def __call__(self) -> str:
        self.tries += 1
        if self.fails:
            raise self.fails.pop(0)
        return "done"


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long it would have waited."""
    found: list[float] = []
    monkeypatch.setattr(patience, "_waited", lambda seconds, stopped: found.append(seconds) or True)
    return found


@pytest.mark.parametrize(
    ("fails", "waits"),
    [
        ([], []),
        ([SubprocessError("died")], [0]),
        ([AWAY, AWAY, AWAY], [5, 10, 20]),
        ([NoAnswerError("away"), VerifierError("broke"), AWAY], [5, 10, 20]),
        ([AWAY, SubprocessError("died"), AWAY], [5, 0, 10]),
    ],
)
def test_what_may_pass_is_tried_again(
    fails: list[Exception], waits: list[float], waited: list[float]
) -> None:
    lines: list[str] = []
    assert patiently(Work(*fails), "measure base", lines.append) == "done"
    assert waited == waits
    assert [line.partition(": ")[0] for line in lines] == ["once more"] * len(fails)


@pytest.mark.parametrize(
    "fails",
    [
        [DataError("none")],
        [PermissionError(13, "Forbidden")],
        [KeyError("a bug")],
        [SubprocessError("once"), SubprocessError("twice")],
        [AWAY] * 4,
    ],
)
def test_what_does_not_pass_is_raised(fails: list[Exception], waited: list[float]) -> None:
    work = Work(*fails)
    with pytest.raises(type(fails[-1])):
        patiently(work, "measure base", lambda line: None)
    assert work.tries == len(fails)


def test_nobody_waits_once_it_is_stopped() -> None:
    work, lines = Work(AWAY), list[str]()
    with pytest.raises(ConnectionResetError):
        patiently(work, "measure base", lines.append, lambda: bool(lines))
    assert work.tries == 1
