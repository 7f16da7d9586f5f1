"""What a model that cannot be measured means for the others."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from flows import evaluate
from tad_core.errors import LogitsError
from tad_core.stages.pipeline import Outcome


class Ended:
    """A future that calls back at once, as one of a result that is there."""

    def __init__(self, made: Any) -> None:
        self._made = made

    def add_done_callback(self, told: Callable[[Any], None]) -> None:
        told(self)

    def result(self, raise_on_failure: bool = True) -> Any:
        assert not raise_on_failure
        return self._made


@pytest.mark.parametrize("last", [False, True])
def test_one_that_fails_is_told_while_others_go_on(monkeypatch: pytest.MonkeyPatch, last: bool) -> None:
    said: list[str] = []
    made = {"base": "points", "quality": LogitsError("not numbers"), "speed": "points"}
    models = ["base", "speed", "quality"] if last else ["base", "quality", "speed"]
    monkeypatch.setattr(evaluate, "say", said.append)
    monkeypatch.setattr(evaluate.evaluating, "submit", lambda work, name, _: Ended(made[name]))
    row = SimpleNamespace(ended=lambda _: None, finish=lambda: None)
    config = SimpleNamespace(evaluate=SimpleNamespace(models=models))
    work: Any = SimpleNamespace(config=config, row=lambda _: nullcontext(row))
    outcome = Outcome(None)  # type: ignore[arg-type]
    with pytest.raises(LogitsError, match="not numbers"):
        evaluate._evaluate(work, outcome)
    assert list(outcome.evaluated) == ["base", "speed"]
    assert said == ([] if last else ["evaluate quality failed, the others go on: not numbers"])
