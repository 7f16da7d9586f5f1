"""Several runs as one measurement: means by hand, intervals over runs and problems, pairing."""

from __future__ import annotations

import numpy as np
import pytest

from tad_core.errors import DataError
from tad_core.evaluation.bootstrap import Bootstrap, bootstrap_aup
from tad_core.evaluation.records import Record
from tad_core.evaluation.replicates import Replicates

TBT = ("token_by_token", 0.0)
FAST = ("entropy", 0.5)


def run(base: list[bool], quality: list[bool], forwards: int = 2, resamples: int = 400) -> Bootstrap:
    records = []
    for model, answers in (("base", base), ("quality", quality)):
        for way, steps in ((TBT, 8), (FAST, forwards if model == "quality" else 4)):
            for i, ok in enumerate(answers):
                verdict = "equal" if ok else "different"
                records.append(
                    Record("sums", model, *way, f"p{i}", ok, verdict, steps, 8, 8, 0.1, "t")
                )  # fmt: skip
    return bootstrap_aup(records, resamples)


HALF = [True, False] * 20


def test_the_value_is_the_mean_over_runs_and_each_run_is_kept() -> None:
    better = [True] * 30 + [False] * 10
    both = Replicates([run(HALF, better), run(HALF, [True] * 40, forwards=1)])
    accuracy = both.accuracy(("quality", *TBT))
    assert accuracy is not None and accuracy.each == [75, 100] and accuracy.mean.value == 87.5
    gain = both.accuracy_gain(("quality", *TBT), ("base", *TBT))
    assert gain is not None and gain.each == [25, 50] and gain.mean.value == 37.5
    tpf = both.tpf_gain(("quality", *FAST), ("base", *FAST))
    assert tpf is not None and tpf.each == [4 - 2, 8 - 2] and tpf.mean.value == 4
    ratio, base, quality = both.aup_ratio("quality", "base"), both.aup("base"), both.aup("quality")
    assert ratio is not None and ratio.mean.value == pytest.approx(quality.mean.value / base.mean.value)
    assert both.models == ["base", "quality"] and both.problems == 40


def test_what_a_run_lacks_is_none() -> None:
    assert Replicates([run(HALF, HALF)] * 2).accuracy(("speed", *TBT)) is None
    nothing = Replicates([run([False] * 40, HALF)] * 2)
    assert nothing.aup_ratio("quality", "base") is None


def test_the_interval_holds_what_runs_differ_by() -> None:
    """With equal runs it is that of the problems; with unequal ones it reaches from run to run."""
    alike = Replicates([run(HALF, HALF)] * 3).accuracy(("quality", *TBT))
    alone = np.percentile(run(HALF, HALF).accuracy["quality", *TBT][1:], [2.5, 97.5])
    assert alike is not None and alike.mean.interval is not None
    assert [alike.mean.interval.low, alike.mean.interval.high] == pytest.approx(alone)
    few, many = [True] * 4 + [False] * 36, [True] * 36 + [False] * 4
    apart = Replicates([run(HALF, few), run(HALF, HALF), run(HALF, many)]).accuracy(("quality", *TBT))
    assert apart is not None and apart.mean.interval is not None
    assert apart.mean.interval.low < 25 and apart.mean.interval.high > 75


def test_problems_are_paired_across_models() -> None:
    """The base and a model that answers the very same problems do not differ in any resample."""
    gain = Replicates([run(HALF, HALF)] * 2).accuracy_gain(("quality", *TBT), ("base", *TBT))
    assert gain is not None and gain.mean.interval is not None
    assert (gain.mean.interval.low, gain.mean.interval.high) == (0, 0)


def test_apart_means_that_intervals_share_no_point() -> None:
    far = Replicates([run([False] * 36 + [True] * 4, [True] * 40)] * 2)
    assert far.aup("quality").apart_from(far.aup("base")) is True
    near = Replicates([run(HALF, [*HALF[1:], True], forwards=4)] * 2)
    assert near.aup("quality").apart_from(near.aup("base")) is False
    unknown = Replicates([run(HALF, HALF, resamples=0)] * 2)
    assert unknown.aup("quality").apart_from(unknown.aup("base")) is None


def test_runs_over_other_problems_are_refused() -> None:
    with pytest.raises(DataError, match="different problems"):
        Replicates([run(HALF, HALF), run(HALF[:-1], HALF[:-1])])
