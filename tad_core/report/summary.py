"""What the numbers show, in plain words, and what they do not.

A sentence claims a difference only where its 95 % interval excludes none; everything that weakens a claim (a
window that is only the configured cap, few problems, no isolation, one training run) is said, not left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tad_core.config import BASE
from tad_core.evaluation.bootstrap import Estimate, Interval
from tad_core.report.lineup import Lineup
from tad_core.report.numbers import signed
from tad_core.report.scores import Comparison, Operating, Score, Scores, TaskScores
from tad_core.verify.verdict import NO_PROGRAMS

FEW_PROBLEMS = 100

#: by model: where its window ends, as ``curve.json`` describes one
Windows = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Finding:
    """One sentence or two: a result, a fact of the run, or a caution about either."""

    kind: Literal["result", "fact", "caution"]
    text: str


def findings(
    scores: Scores,
    filtered: Mapping[str, Any],
    windows: Windows,
    trained: Sequence[str],
    lineup: Lineup,
    alike: Sequence[Sequence[str]] = (),
) -> list[Finding]:
    """Results first, then facts, then cautions.

    Args:
        scores: the table.
        filtered: ``summary.json`` of the filter.
        windows: the window of each model that has one, by its name; empty without a calibration.
        trained: the models distilled in this run.
        lineup: how models are called.
        alike: groups of them that were trained on the same loss, since their windows came out the same.
    """
    found = [Finding("result", text) for task in scores.tasks for text in _of_task(task, scores, lineup)]
    found += [Finding("fact", text) for text in (*_kept(filtered), *_windows(windows, lineup))]
    cautions = (
        *_window_cautions(windows, trained, lineup, alike),
        *_filter_cautions(filtered),
        *_score_cautions(scores, trained, lineup),
    )
    return found + [Finding("caution", text) for text in cautions]


# --- results ----------------------------------------------------------------------------------------


def _of_task(task: TaskScores, scores: Scores, lineup: Lineup) -> Iterator[str]:
    name = f"{task.task} ({task.problems:,} problem{'s' if task.problems != 1 else ''})"
    base = task.of(BASE)
    others = [s for s in task.scores if s.model != BASE]
    if base is None or not others:
        yield from (f"{name}: {_alone(s, lineup)}" for s in task.scores)
        return
    if (text := _accuracies(task, base, others, lineup)) is not None:
        yield f"{name}, token by token: {text}."
    if (text := _at_threshold(task, scores.operating, lineup)) is not None:
        yield f"{task.task}, tokens per forward pass at {scores.operating.words}: {text}."
    against = [(s, c) for s in others if (c := task.against(s.model, BASE)) is not None]
    if against:
        listed = "; ".join(_aup(s, c, "the base's", lineup) for s, c in against)
        yield f"{task.task}, AUP: the base has {base.aup:.1f}{_bracket(base.aup_interval)}; {listed}."
    for name, other in ((n, s) for n in lineup.baselines if (s := task.of(n)) is not None):
        distilled = [s for s in others if s.model not in lineup.baselines]
        against = [(s, c) for s in distilled if (c := task.against(s.model, name)) is not None]
        listed = "; ".join(_aup(s, c, "as much", lineup, brief=True) for s, c in against)
        if listed:
            which = f"{lineup.label(name)}, " if len(lineup.baselines) > 1 else ""
            yield f"{task.task}, AUP against fine-tuning on the references ({which}{other.aup:.1f}): {listed}."


def _alone(score: Score, lineup: Lineup) -> str:
    text = f"{lineup.label(score.model)} has an AUP of {score.aup:.1f}{_bracket(score.aup_interval)}"
    if (p := score.token_by_token) is not None:
        text += f" and answers {p.accuracy:.1f} % token by token{_bracket(p.accuracy_interval)}"
    return text + ". There is nothing here to compare it with."


def _accuracies(task: TaskScores, base: Score, others: Sequence[Score], lineup: Lineup) -> str | None:
    if base.token_by_token is None:
        return None
    parts = [f"the base answers {base.token_by_token.accuracy:.1f} % correctly"]
    for score in others:
        against = task.against(score.model, BASE)
        if score.token_by_token is None or against is None or against.accuracy_token_by_token is None:
            continue
        change = _change(against.accuracy_token_by_token, " points")
        parts.append(f"{lineup.label(score.model)} {score.token_by_token.accuracy:.1f} % ({change})")
    return ", ".join(parts)


def _at_threshold(task: TaskScores, operating: Operating, lineup: Lineup) -> str | None:
    points = [(s.model, p) for s in task.scores if (p := s.at(operating)) is not None]
    if not points:
        return None
    listed = ", ".join(f"{_name(m, lineup)} {p.tpf:.2f} with {p.accuracy:.1f} % correct" for m, p in points)
    text = listed
    pair = task.against("speed", "quality")
    if pair is not None and pair.tpf is not None:
        text += f"; Speed against Quality {_change(pair.tpf, ' tokens per forward pass', 2)}"
    return text


def _change(gain: Estimate, unit: str, digits: int = 1) -> str:
    """A difference with its interval; one whose interval holds zero is called unclear."""
    text = f"{signed(gain.value, digits)}{unit}"
    if gain.interval is None:
        return text
    text += f", 95 % interval {signed(gain.interval.low, digits)} to {signed(gain.interval.high, digits)}"
    return text if gain.interval.low > 0 or gain.interval.high < 0 else f"{text}: no clear difference"


def _aup(score: Score, against: Comparison, than: str, lineup: Lineup, brief: bool = False) -> str:
    text = lineup.label(score.model)
    if not brief:
        text += f" {score.aup:.1f}{_bracket(score.aup_interval)}"
    ratio = against.aup_ratio
    if ratio is not None:
        text += f"{'' if brief else ','} {ratio.value:.1f} times {than}"
    if against.aup_apart is None:
        return text
    if against.aup_apart:
        return f"{text}, the intervals are apart"
    clear = (
        ratio is not None
        and ratio.interval is not None
        and not ratio.interval.low <= 1 <= ratio.interval.high
    )
    if clear and ratio is not None and ratio.interval is not None:
        # Problems are shared, so the ratio can be surer than either AUP.
        return (
            f"{text}, the intervals overlap but on the same problems the ratio is {ratio.interval.low:.2f} to "
            f"{ratio.interval.high:.2f}"
        )
    return f"{text}, the intervals overlap: no clear difference"


# --- facts ------------------------------------------------------------------------------------------


def _kept(filtered: Mapping[str, Any]) -> Iterator[str]:
    totals, kept = _by_condition(filtered)
    if totals["privileged"]:
        text = (
            f"{kept['privileged']:,} of {totals['privileged']:,} trajectories of the privileged teacher were "
            f"right and kept ({100 * kept['privileged'] / totals['privileged']:.1f} %)"
        )
        if totals["plain"]:
            text += (
                f"; without the reference in the prompt {kept['plain']:,} of {totals['plain']:,} were right "
                f"({100 * kept['plain'] / totals['plain']:.1f} %)"
            )
        yield text + "."
    tiers = [name for name, rows in filtered["tier"].items() if rows]
    # Shards of mathematics alone say nothing of how programs were held.
    tiers = [name for name in tiers if name != NO_PROGRAMS] or tiers
    if tiers:
        yield f"Programs under test, isolation: {'; '.join(tiers)}."


def _windows(windows: Windows, lineup: Lineup) -> Iterator[str]:
    for mode, w in windows.items():
        if w["source"] != "calibrated":
            continue
        yield (
            f"The {lineup.label(mode)} window, {_steps(w['window'])}, ends where the student's smoothed confidence "
            f"falls below {w['threshold']:g}."
        )


# --- cautions ---------------------------------------------------------------------------------------


def _window_cautions(
    windows: Windows, trained: Sequence[str], lineup: Lineup, alike: Sequence[Sequence[str]]
) -> Iterator[str]:
    for mode, w in windows.items():
        if w["source"] == "cap":
            yield (
                f"The student's confidence does not fall below {w['threshold']:g} at any distance that was "
                f"measured: the {lineup.label(mode)} window, {_steps(w['window'])}, is the configured cap and not a "
                "measurement."
            )
        elif w["source"] == "fixed":
            yield f"The {lineup.label(mode)} window, {_steps(w['window'])}, was fixed in the configuration."
        elif w["source"] == "quality":
            own = "the student's confidence gave" if w["crossed"] else "the configured cap gave"
            yield (
                f"The {lineup.label(mode)} window was raised to the Quality window, {_steps(w['window'])}: {own} "
                f"{w['raised_from']}, and Speed is not to learn from nearer than Quality does."
            )
    both = all(mode in trained and mode in windows for mode in ("quality", "speed"))
    if both and windows["quality"]["window"] > windows["speed"]["window"]:
        yield "The Speed window is shorter than the Quality window: Speed learned from nearer than Quality did."
    for group in alike:
        names = [lineup.label(name) for name in group]
        which = "Both windows" if len(windows) == 2 else "Their windows"
        yield (
            f"{which} are the same, so {', '.join(names[:-1])} and {names[-1]} were trained on the same loss; a "
            "difference between them is chance."
        )


def _filter_cautions(filtered: Mapping[str, Any]) -> Iterator[str]:
    for name, rows in filtered["tier"].items():
        if rows and "NO ISOLATION" in name:
            yield f"{rows:,} trajectories were judged by programs that ran WITHOUT ISOLATION on this machine."
    for entry in filtered["by_source"]:
        if entry["condition"] == "privileged" and entry["total"] and not entry["kept"]:
            yield f"No trajectory of {entry['source']} was kept: the models learned nothing from it."
    lower = sum(e.get("lower_trust", 0) for e in filtered["by_source"] if e["condition"] == "privileged")
    if lower:
        yield f"{lower:,} of the kept programs passed at lower trust: their own classes decided a comparison."
    totals, _ = _by_condition(filtered)
    if not totals["plain"]:
        yield (
            "No rollouts without the reference were made, so what the reference adds is not measured here "
            "(rollout.compare_plain)."
        )


def _score_cautions(scores: Scores, trained: Sequence[str], lineup: Lineup) -> Iterator[str]:
    few = [f"{t.task} {t.problems}" for t in scores.tasks if t.problems < FEW_PROBLEMS]
    if few:
        yield f"Few problems ({', '.join(few)}): intervals are wide and ranks unsure."
    dropped = [
        f"{t.task} {lineup.label(s.model)} {sum(not p.counted for p in s.points)} of {len(s.points)}"
        for t in scores.tasks
        for s in t.scores
        if any(not p.counted for p in s.points)
    ]
    if dropped:
        yield (
            "Points more than 5 points of accuracy below a curve's slowest do not count in its AUP: "
            f"{', '.join(dropped)}."
        )
    flat = [
        f"{t.task} {lineup.label(s.model)}"
        for t in scores.tasks
        for s in t.scores
        if s.aup_interval is not None and s.aup_interval.low == s.aup_interval.high
    ]
    if flat:
        yield (
            f"Resampling changes nothing where all answers are alike ({', '.join(flat)}): an interval of AUP "
            "without width is no sign of certainty there."
        )
    yield from _padding(scores, lineup)
    if any(len(s.points) < 3 for t in scores.tasks for s in t.scores):
        yield "Some curves have fewer than three points; their AUP says little of what lies between."
    if not scores.bootstrap:
        yield "No intervals were computed (evaluate.bootstrap: 0): any difference may be chance."
    if trained:
        yield (
            "Every model was trained once. The intervals say how the numbers would move with other problems, not "
            "with another training seed."
        )


def _padding(scores: Scores, lineup: Lineup) -> Iterator[str]:
    """Say it where a good part of the speed is end-of-text filling the answer up."""
    listed = [
        f"{t.task} {lineup.label(s.model)} {100 * (1 - p.tpf_text / p.tpf):.0f} %"
        for t in scores.tasks
        for s in t.scores
        if (p := s.at(scores.operating)) is not None and p.tpf_text < 0.75 * p.tpf
    ]
    if listed:
        yield (
            f"Many of the tokens revealed at {scores.operating.words} are end-of-text "
            f"({', '.join(listed)}); the column “text only” leaves them out."
        )


# --- words ------------------------------------------------------------------------------------------


def _by_condition(filtered: Mapping[str, Any]) -> tuple[Counter[str], Counter[str]]:
    totals: Counter[str] = Counter()
    kept: Counter[str] = Counter()
    for entry in filtered["by_source"]:
        totals[entry["condition"]] += entry["total"]
        kept[entry["condition"]] += entry["kept"]
    return totals, kept


def _name(model: str, lineup: Lineup) -> str:
    return "the base" if model == BASE else lineup.label(model)


def _steps(count: int) -> str:
    return f"{count} step{'s' if count != 1 else ''}"


def _bracket(interval: Interval | None) -> str:
    return f" [{interval.low:.1f}, {interval.high:.1f}]" if interval is not None else ""
