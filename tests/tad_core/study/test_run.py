"""How a study's tasks are done: side by side, over all GPUs, once more after a death, and what a failure leaves."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tad_core.artifacts import Store
from tad_core.config import TADConfig
from tad_core.errors import ConfigError, DataError, SubprocessError
from tad_core.progress import Progress
from tad_core.study.config import Study
from tad_core.study.hands import Hands, hands_of
from tad_core.study.measure import Bench
from tad_core.study.parts import Trajectories
from tad_core.study.run import Matrix, prepare
from tad_core.study.schedule import Measuring, Schedule, Task, Training


class Fake(Matrix):
    """Trains and measures nothing; fails as it is told."""

    def __init__(self, study: Study, store: Store, fails: dict[str, list[Exception]]) -> None:
        self.lines: list[str] = []
        self.told: list[Progress] = []
        nothing: Any = SimpleNamespace()
        from_nothing = Trajectories(nothing, nothing, nothing)
        super().__init__(study, store, from_nothing, Bench(study, store), self.told.append, self.lines.append)
        self.fails, self.began = fails, list[str]()

    def look(self) -> Schedule:
        both, one = Training(0, ("tad", "wide")), Training(1, ("tad",))
        after = {both: [Measuring("tad", 0), Measuring("wide", 0)], one: [Measuring("tad", 1)]}
        return Schedule([Measuring("base", None), both, one], after)

    def _do(self, task: Task, hand: int) -> None:
        self.began.append(task.told)
        if errors := self.fails.get(task.told):
            raise errors.pop(0)


@pytest.fixture
def one_hand(study: Study) -> Hands:
    return Hands(study, 1)


def test_every_task_is_done_and_told(study: Study, store: Store, one_hand: Hands) -> None:
    matrix = Fake(study, store, {})
    matrix.do(one_hand)
    assert matrix.began == [
        "measure base",
        "train tad, wide (seed 0)",
        "measure tad (seed 0)",
        "measure wide (seed 0)",
        "train tad (seed 1)",
        "measure tad (seed 1)",
    ], "a model is measured before another is trained"
    assert matrix.lines[0] == "1 of 6: measure base" and len(matrix.lines) == 6
    assert (matrix.told[-1].done, matrix.told[-1].total) == (6, 6)


def test_a_process_that_died_is_tried_once_more(study: Study, store: Store, one_hand: Hands) -> None:
    matrix = Fake(study, store, {"measure base": [SubprocessError("killed\nlast lines")]})
    matrix.do(one_hand)
    assert matrix.began.count("measure base") == 2
    assert "once more: measure base: killed" in matrix.lines


def test_what_fails_is_named_and_the_others_go_on(study: Study, store: Store, one_hand: Hands) -> None:
    first = "train tad, wide (seed 0)"
    matrix = Fake(study, store, {first: [SubprocessError("once"), SubprocessError("twice")]})
    with pytest.raises(SubprocessError, match=r"^train tad, wide \(seed 0\): twice$"):
        matrix.do(one_hand)
    assert matrix.began.count(first) == 2
    assert matrix.began[-1] == "measure tad (seed 1)" and "measure wide (seed 0)" not in matrix.began
    assert f"2 of 4: FAILED: {first}" in matrix.lines


def test_what_a_second_try_cannot_mend_is_not_tried_again(
    study: Study, store: Store, one_hand: Hands
) -> None:
    matrix = Fake(study, store, {"train tad (seed 1)": [DataError("none is kept")]})
    with pytest.raises(DataError, match=r"train tad \(seed 1\): none is kept"):
        matrix.do(one_hand)
    assert matrix.began.count("train tad (seed 1)") == 1


def test_hands_take_the_gpus_in_turn(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert hands_of(study) > 0 and Hands(study, 4).gpu(3) == 0, "model.device is cpu"
    model = study.run.model.model_copy(update={"device": "auto"})
    on_gpus = Study(study.config, study.run.model_copy(update={"model": model}), study.specs)
    assert hands_of(on_gpus) == 24
    hands = Hands(on_gpus, 4)
    assert [hands.gpu(hand) for hand in range(4)] == [0, 1, 0, 1]
    few = study.config.model_copy(update={"side_by_side": 3})
    assert hands_of(Study(few, on_gpus.run, study.specs)) == 3


def test_trainings_over_several_processes_are_refused(study: Study, store: Store) -> None:
    changed: dict[str, Any] = {"launcher": "torchrun", "processes": 2}
    distill = study.run.distill.model_copy(update=changed)
    run: TADConfig = study.run.model_copy(update={"distill": distill})
    with pytest.raises(
        ConfigError, match=r"distill.launcher: torchrun with 2 processes .* use python, 1 and 1"
    ):
        prepare(Study(study.config, run, study.specs), store)
