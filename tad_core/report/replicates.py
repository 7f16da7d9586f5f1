"""Several training runs on one page: every number as a mean over runs with an interval over runs and problems."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from tad_core.config import BASE
from tad_core.evaluation.replicates import Replicates, Spread
from tad_core.report.lineup import Lineup
from tad_core.report.numbers import signed, signed_estimate
from tad_core.report.scores import SINGLE, Operating
from tad_core.report.table import NONE, Cell, Row, Table, escape_markdown, to_markdown

PAGE_NAME, NUMBERS_NAME = "replicates.md", "replicates.json"
#: Decimals of what is in percent, tokens per forward, an AUP, a ratio: those of the report.
_PERCENT, _TPF, _AUP, _TIMES = 1, 2, 1, 2


class ReplicateRow(BaseModel):
    """One model on one task over all runs. Accuracies in percent, gains in points, TPF in tokens per forward."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str
    problems: int
    model: str
    token_by_token: Spread | None
    gain: Spread | None
    """Accuracy token by token over the base's."""
    accuracy: Spread | None
    """At the operating threshold."""
    tpf: Spread | None
    """At the operating threshold."""
    aup: Spread
    aup_over_base: Spread | None
    apart_from_base: bool | None
    aup_over_sft: Spread | None
    apart_from_sft: bool | None
    tpf_over_quality: Spread | None
    """TPF at the operating threshold, over that of Quality."""


def summarise(tasks: Sequence[Replicates], operating: Operating, lineup: Lineup) -> list[ReplicateRow]:
    """A row for every task and model."""
    return [_row(task, model, operating, lineup) for task in tasks for model in lineup.ordered(task.models)]


def _row(task: Replicates, model: str, operating: Operating, lineup: Lineup) -> ReplicateRow:
    baseline = next((name for name in lineup.baselines if name in task.models), "")
    fast = operating.way(model)

    def held_against(over: str) -> tuple[Spread | None, bool | None]:
        if model == over or over not in task.models:
            return None, None
        return task.aup_ratio(model, over), task.aup(model).apart_from(task.aup(over))

    (over_base, from_base), (over_sft, from_sft) = held_against(BASE), held_against(baseline)
    return ReplicateRow(
        task=task.task,
        problems=task.problems,
        model=model,
        token_by_token=task.accuracy((model, *SINGLE)),
        gain=None if model == BASE else task.accuracy_gain((model, *SINGLE), (BASE, *SINGLE)),
        accuracy=task.accuracy((model, *fast)),
        tpf=task.tpf((model, *fast)),
        aup=task.aup(model),
        aup_over_base=over_base,
        apart_from_base=from_base,
        aup_over_sft=over_sft,
        apart_from_sft=from_sft,
        tpf_over_quality=task.tpf_gain((model, *fast), ("quality", *operating.way("quality")))
        if model == "speed" and "quality" in task.models
        else None,
    )


def tables(rows: Sequence[ReplicateRow], seeds: Sequence[int], at: str, lineup: Lineup) -> list[Table]:
    """Means with intervals, and what each run gave; ``at`` says at which threshold, as a column's name does."""
    fine_tuned = any(row.aup_over_sft is not None for row in rows)
    means = [
        "Task", "Model", "Token by token %", "Over the base", f"Accuracy {at} %", f"TPF {at}", "AUP", "x base",
        *(["x fine-tuning"] if fine_tuned else []),
    ]  # fmt: skip
    each = ["Task", "Model", "Seed", "Token by token %", f"Accuracy {at} %", f"TPF {at}", "AUP"]
    mean_rows, each_rows = [], []
    for i, row in enumerate(rows):
        first = i == 0 or rows[i - 1].task != row.task
        cells = [
            row.task if first else "",
            lineup.label(row.model),
            _with_interval(row.token_by_token, _PERCENT),
            NONE if row.gain is None else signed_estimate(row.gain.mean, _PERCENT),
            _with_interval(row.accuracy, _PERCENT),
            _with_interval(row.tpf, _TPF),
            _with_interval(row.aup, _AUP),
            _with_interval(row.aup_over_base, _TIMES),
            *([_with_interval(row.aup_over_sft, _TIMES)] if fine_tuned else []),
        ]
        mean_rows.append(Row([Cell(c) for c in cells], model=row.model, starts_group=first))
        own = ((row.token_by_token, _PERCENT), (row.accuracy, _PERCENT), (row.tpf, _TPF), (row.aup, _AUP))
        for j, seed in enumerate(seeds):
            numbers = [NONE if s is None else f"{s.each[j]:.{digits}f}" for s, digits in own]
            shown = (row.task, lineup.label(row.model), str(seed), *numbers)
            each_rows.append(Row([Cell(c) for c in shown], model=row.model))
    note = (
        f"Means over {len(seeds)} training runs with 95 % intervals over runs and problems "
        f"({', '.join(f'{t} {n}' for t, n in {r.task: r.problems for r in rows}.items())} problems)."
    )
    return [
        Table("Over all runs", means, mean_rows, left=2, notes=[note], model_column=1),
        Table("Every run", each, each_rows, left=3, model_column=1),
    ]


def sentences(rows: Sequence[ReplicateRow], lineup: Lineup) -> list[str]:
    """What the intervals allow to be said."""
    said = []
    for row in rows:
        name = f"{row.task}, {lineup.label(row.model)}"
        for apart, over, other in (
            (row.apart_from_base, row.aup_over_base, "the base's"),
            (row.apart_from_sft, row.aup_over_sft, "that of fine-tuning on the references"),
        ):
            if over is not None and apart is not None:
                ends = "the intervals are apart" if apart else "the intervals overlap"
                said.append(f"{name}: AUP is {over.mean.value:.2f} times {other}; {ends}.")
        faster = row.tpf_over_quality
        if faster is not None and faster.mean.interval is not None:
            low, high = faster.mean.interval.low, faster.mean.interval.high
            clear = "" if low > 0 or high < 0 else ": no clear difference"
            said.append(
                f"{name}: {signed(faster.mean.value, _TPF)} tokens per forward against Quality "
                f"[{signed(low, _TPF)}, {signed(high, _TPF)}]{clear}."
            )
    return said


def render(name: str, rows: Sequence[ReplicateRow], seeds: Sequence[int], at: str, lineup: Lineup) -> str:
    """The page as Markdown."""
    means, each = tables(rows, seeds, at, lineup)
    said = "\n".join(f"- {escape_markdown(text)}" for text in sentences(rows, lineup))
    title = f"# {escape_markdown(name)}: {len(seeds)} training runs"
    return "\n\n".join(part for part in (title, said, to_markdown(means), to_markdown(each)) if part) + "\n"


def _with_interval(spread: Spread | None, digits: int) -> str:
    if spread is None:
        return NONE
    mean, span = spread.mean, spread.mean.interval
    text = f"{mean.value:.{digits}f}"
    return text if span is None else f"{text} [{span.low:.{digits}f}, {span.high:.{digits}f}]"
