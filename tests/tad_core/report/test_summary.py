"""Sentences: what is claimed, and what is not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tad_core.report.scoring import score
from tad_core.report.summary import findings
from tad_core.verify.verdict import NO_PROGRAMS


def say(
    fake: SimpleNamespace, curves: dict[str, Any] | None = None, kind: str | None = None, **parts: Any
) -> str:
    records = [r for model, ways in (curves or fake.curves).items() for r in fake.records(model, ways)]
    scores = score("x", fake.config(**parts.get("evaluate", {})).evaluate, records, fake.lineup)
    summary = parts.get("summary", fake.summary())
    windows = parts.get("windows") if "windows" in parts else fake.windows(parts.get("curve"))
    trained = parts.get("trained", ["quality", "speed"])
    found = findings(scores, summary, windows, trained, fake.lineup, parts.get("alike", ()))
    return "\n".join(f.text for f in found if kind in (None, f.kind))


def test_a_clear_gain_is_claimed_with_its_interval(fake: SimpleNamespace) -> None:
    text = say(fake, kind="result")

    assert (
        "sums (20 problems), token by token: the base answers 30.0 % correctly, Quality 80.0 % (+50.0" in text
    )
    assert "Quality 302.2 [" in text
    assert "8.9 times the base's, the intervals are apart" in text
    assert "Speed 8.00 with 75.0 % correct; Speed against Quality +4.00 tokens per forward pass" in text
    assert "no clear difference" not in text


def test_a_small_gain_is_not_claimed(fake: SimpleNamespace) -> None:
    quality = {("token_by_token", 0.0): (7, 8), ("entropy", 0.5): (2, 2)}
    curves = {"base": {("token_by_token", 0.0): (6, 8), ("entropy", 0.5): (2, 2)}, "quality": quality}
    text = say(fake, curves, kind="result", trained=["quality"])

    assert "Quality 35.0 % (+5.0 points, 95 % interval +0.0" in text
    assert text.count("no clear difference") == 2  # accuracy and AUP


def test_a_loss_is_told_as_one(fake: SimpleNamespace) -> None:
    curves = {"base": fake.curves["quality"], "quality": fake.curves["base"]}

    assert "Quality 30.0 % (−50.0 points, 95 % interval −" in say(fake, curves, kind="result")


def test_fine_tuning_is_compared_where_it_was_run(fake: SimpleNamespace) -> None:
    curves = {**fake.curves, "sft": fake.curves["base"]}

    assert "AUP against fine-tuning on the references (33.9): Quality 8.9 times as much" in say(fake, curves)
    assert "fine-tuning" not in say(fake)


def test_without_intervals_nothing_is_called_apart(fake: SimpleNamespace) -> None:
    text = say(fake, evaluate={"bootstrap": 0})

    assert "apart" not in text
    assert "any difference may be chance" in text


def test_one_model_alone_is_compared_with_nothing(fake: SimpleNamespace) -> None:
    text = say(fake, {"base": fake.curves["base"]}, trained=[])

    assert "Base has an AUP of 52.6" in text
    assert "nothing here to compare it with" in text
    assert "trained once" not in text


def test_a_window_from_the_cap_is_no_measurement(fake: SimpleNamespace) -> None:
    text = say(fake, kind="caution")

    assert "does not fall below 0.2" in text
    assert "the Speed window, 6 steps, is the configured cap and not a measurement" in text
    assert "Quality window, 4 steps, ends where" in say(fake, kind="fact")


def test_fixed_and_equal_windows_are_told(fake: SimpleNamespace) -> None:
    curve = fake.curve({"source": "fixed", "window": 6}, {"source": "fixed"})
    text = say(fake, curve=curve, kind="caution", alike=[["quality", "speed"]])

    assert "The Quality window, 6 steps, was fixed" in text
    assert "Both windows are the same, so Quality and Speed were trained on the same loss" in text
    assert "Both windows" not in say(fake, curve=curve, kind="caution")


def test_a_raised_speed_window_is_told(fake: SimpleNamespace) -> None:
    curve = fake.curve({"window": 30}, {"source": "quality", "window": 30, "raised_from": 20})
    text = say(fake, curve=curve, kind="caution")

    assert "The Speed window was raised to the Quality window, 30 steps: the configured cap gave 20" in text


def test_a_speed_window_fixed_shorter_is_told(fake: SimpleNamespace) -> None:
    curve = fake.curve({"window": 30}, {"source": "fixed", "window": 5})

    assert "Speed window is shorter than the Quality window" in say(fake, curve=curve, kind="caution")
    assert "shorter than" not in say(fake, kind="caution")


def test_no_windows_no_word_of_them(fake: SimpleNamespace) -> None:
    assert "window" not in say(fake, windows={})


def test_what_the_filter_found(fake: SimpleNamespace) -> None:
    assert (
        "18 of 20 trajectories of the privileged teacher were right and kept (90.0 %); without the reference in "
        "the prompt 3 of 10 were right (30.0 %)."
    ) in say(fake, kind="fact")


def test_isolation_is_that_of_the_shards_with_programs(fake: SimpleNamespace) -> None:
    summary = {**fake.summary(), "tier": {NO_PROGRAMS: 80, "tier 1: bubblewrap": 24}}
    assert "Programs under test, isolation: tier 1: bubblewrap." in say(fake, summary=summary, kind="fact")
    summary["tier"] = {NO_PROGRAMS: 104}
    assert "Programs under test, isolation: no programs were run." in say(fake, summary=summary, kind="fact")


def test_filter_cautions(fake: SimpleNamespace) -> None:
    entry = {"source": "code", "condition": "privileged", "total": 5, "kept": 0, "lower_trust": 0,
             "rejected": {"failed": 5}}  # fmt: skip
    trusted = {**entry, "source": "own", "kept": 5, "lower_trust": 2, "rejected": {}}
    tier = {"tier 3: NO ISOLATION, resource limits only": 10}
    text = say(fake, summary={"tier": tier, "by_source": [entry, trusted]}, kind="caution")

    assert "No trajectory of code was kept" in text
    assert "2 of the kept programs passed at lower trust" in text
    assert "10 trajectories were judged by programs that ran WITHOUT ISOLATION" in text
    assert "what the reference adds is not measured" in text


def test_score_cautions(fake: SimpleNamespace) -> None:
    text = say(fake, kind="caution")

    assert "Few problems (sums 20)" in text
    assert "do not count in its AUP: sums Base 1 of 3." in text
    assert "Every model was trained once" in text
    assert "fewer than three points" not in text
    single = {"base": {("token_by_token", 0.0): (6, 8), ("entropy", 0.5): (6, 2)}}
    assert "fewer than three points" in say(fake, single, kind="caution")


def test_padding_is_told_only_where_it_is_much(fake: SimpleNamespace) -> None:
    assert "end-of-text" not in say(fake)  # a quarter of the tokens exactly
    records = [type(r)(**{**r.__dict__, "tokens_text": 2}) for r in fake.records("base", fake.curves["base"])]
    found = findings(
        score("x", fake.config().evaluate, records, fake.lineup), fake.summary(), {}, [], fake.lineup
    )

    assert any("end-of-text (sums Base 75 %)" in f.text for f in found)


def test_an_interval_without_width_is_not_taken_for_certainty(fake: SimpleNamespace) -> None:
    nothing = {"base": {("token_by_token", 0.0): (0, 8), ("entropy", 0.1): (0, 4), ("entropy", 0.5): (0, 2)}}

    assert "all answers are alike (sums Base)" in say(fake, nothing, kind="caution")
    assert "all answers are alike" not in say(fake, kind="caution")
