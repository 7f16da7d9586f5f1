"""The tables of a report, from its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tad_core.data.selection import LeftOutRow
from tad_core.evaluation.bootstrap import Interval
from tad_core.evaluation.records import way_name
from tad_core.report.lineup import Lineup
from tad_core.report.scores import Point, Scores
from tad_core.report.table import NONE, Cell, Row, Table
from tad_core.report.texts import TEACHER, shortened
from tad_core.report.texts import Text as Answer

#: Columns of what decoding took, and what they say.
COUNTED = ("NFE", "Full NFE", "Computed/token")
COUNTS = (
    "NFE: forwards a problem, each counted once for every sample it serves; full: those that took nothing from a "
    "cache. Computed/token: tokens computed, of prompt and response, for each that was revealed."
)
#: Characters of an answer and of a reason in the report.
_TEXT_LENGTH = 160
_LEFT_OUT = "Rows of the training data that could not be used: they are in no other number of this report."


def headline(scores: Scores, lineup: Lineup, narrow: bool = False) -> Table:
    """The table of the paper, per task and on average: accuracy, speed and AUP of every model.

    ``narrow`` shortens the columns' names and the intervals for a terminal of 80 columns.
    """
    at = scores.operating.at
    columns = ["Accuracy, token by token %", f"Accuracy {at} %", f"TPF {at}", "TPF, text only", "Tokens/s"]
    if narrow:
        columns = ["1 by 1 %", f"{at} %", "TPF", "text only", "tok/s"]
    columns = ["Task", "Model", *columns, "AUP [95 %]" if scores.bootstrap else "AUP"]
    digits = 0 if narrow else 1
    rows: list[Row] = []
    for task in scores.tasks:
        lines = []
        for s in task.scores:
            single, operating = s.token_by_token, s.at(scores.operating)
            lines.append((s.model, _numbers(single, operating, s.aup), s.aup_interval))
        rows += _group(task.task, lines, digits, lineup)
    lines = [
        (a.model, [a.token_by_token, a.accuracy, a.tpf, a.tpf_text, a.tokens_per_s, a.aup], a.aup_interval)
        for a in scores.average
    ]
    rows += _group("Average", lines, digits, lineup)
    problems = ", ".join(f"{t.task} {t.problems}" for t in scores.tasks)
    notes = [
        f"Problems: {problems}. TPF: tokens per forward pass, end-of-text tokens included; “text only” "
        "leaves them out. Bold: highest of its task, whether or not intervals overlap."
        + scores.operating.note((m, lineup.label(m)) for m in lineup.ordered(_models(scores)))
    ]
    return Table("Results", columns, rows, left=2, notes=notes, model_column=1)


def _models(scores: Scores) -> set[str]:
    return {s.model for task in scores.tasks for s in task.scores}


def _numbers(single: Point | None, operating: Point | None, aup: float) -> list[float | None]:
    first = None if single is None else single.accuracy
    if operating is None:
        return [first, None, None, None, None, aup]
    o = operating
    return [first, o.accuracy, o.tpf, o.tpf_text, o.tokens_per_s, aup]


_FORMATS = ("{:.1f}", "{:.1f}", "{:.2f}", "{:.2f}", "{:,.0f}", "{:.1f}")


def _group(
    name: str,
    lines: Sequence[tuple[str, Sequence[float | None], Interval | None]],
    digits: int,
    lineup: Lineup,
) -> list[Row]:
    """Rows of one task; the task's name stands on the first, the best of each column is marked."""
    if not lines:
        return []
    columns = list(zip(*[numbers for _, numbers, _ in lines], strict=True))
    # Compared as shown: two models that print the same number are both best.
    shown = [[_show(f, v) for v in column] for f, column in zip(_FORMATS, columns, strict=True)]
    best = [
        _show(f, max((v for v in c if v is not None), default=None))
        for f, c in zip(_FORMATS, columns, strict=True)
    ]
    rows = []
    for i, (model, _, interval) in enumerate(lines):
        cells = [Cell(name if i == 0 else ""), Cell(lineup.label(model))]
        for c, column in enumerate(shown):
            text = column[i]
            is_best = len(lines) > 1 and text == best[c] and text != NONE
            if c == len(shown) - 1 and interval is not None:
                text = f"{text} [{interval.low:.{digits}f}, {interval.high:.{digits}f}]"
            cells.append(Cell(text, best=is_best))
        rows.append(Row(cells, model=model, starts_group=i == 0))
    return rows


def points(scores: Scores, lineup: Lineup) -> Table:
    """Every point of every curve."""
    rows = []
    for task in scores.tasks:
        for s in task.scores:
            for i, p in enumerate(s.points):
                how = way_name(p.method, p.threshold)
                interval = f"{p.accuracy:.1f} [{p.accuracy_interval.low:.1f}, {p.accuracy_interval.high:.1f}]"
                cells = [task.task, lineup.label(s.model), how, interval, f"{p.tpf:.2f}", f"{p.tpf_text:.2f}"]
                cells += [f"{p.nfe:.1f}", _show("{:.1f}", p.full_nfe), _show("{:,.0f}", p.computed_per_token)]
                cells += [f"{p.tokens_per_s:,.0f}", "yes" if p.counted else "no"]
                rows.append(Row([Cell(c) for c in cells], model=s.model, starts_group=i == 0))
    columns = [
        "Task", "Model", "Threshold", "Accuracy % [95 %]", "TPF", "TPF, text only", *COUNTED, "Tokens/s", "In AUP",
    ]  # fmt: skip
    return Table("Every point", columns, rows, left=3, model_column=1, notes=[COUNTS])


def lm_eval_figures(scores: Scores, lineup: Lineup) -> Table | None:
    """What lm-eval itself says of the benchmarks, beside the verdict; None where no task is one."""
    rows = []
    for task in scores.tasks:
        for s in task.scores:
            shown = [s.token_by_token, s.at(scores.operating)]
            for i, p in enumerate(p for p in shown if p is not None and p.figures):
                how = way_name(p.method, p.threshold)
                told = ", ".join(f"{name} {value:.1f}" for name, value in p.figures.items())
                cells = [task.task, lineup.label(s.model), how, f"{p.accuracy:.1f}", told]
                rows.append(Row([Cell(c) for c in cells], model=s.model, starts_group=i == 0))
    if not rows:
        return None
    notes = [
        "Metric and filter as lm-eval names them. Accuracy is the verifier's verdict, which all else is made from."
    ]
    columns = ["Task", "Model", "Threshold", "Accuracy %", "lm-eval %"]
    return Table("lm-eval's own figures", columns, rows, left=3, model_column=1, notes=notes)


def kept(summary: Mapping[str, Any]) -> Table:
    """Passed and rejected trajectories per source and condition, reasons included."""
    rows = []
    for entry in summary["by_source"]:
        share = 100 * entry["kept"] / entry["total"] if entry["total"] else 0.0
        reasons = ", ".join(
            f"{_words(r)} {n}" for r, n in sorted(entry["rejected"].items(), key=lambda x: -x[1])
        )
        cells = [
            entry["source"],
            entry["condition"],
            f"{entry['total']:,}",
            f"{entry['kept']:,}",
            f"{share:.1f}",
        ]
        rows.append(Row([Cell(c) for c in [*cells, reasons or NONE]]))
    columns = ["Source", "Prompt", "Judged", "Passed", "Passed %", "Rejected"]
    return Table("Trajectories", columns, rows, left=2)


def left_out(rows: Sequence[LeftOutRow]) -> Table | None:
    """Rows of the data that are no problems, by source and reason; None where there are none."""
    if not rows:
        return None
    lines = [Row([Cell(c) for c in (r.source, r.reason, r.examples or NONE, f"{r.rows:,}")]) for r in rows]
    return Table(
        "Data left out", ["Source", "Reason", "First of them", "Rows"], lines, left=3, notes=[_LEFT_OUT]
    )


def texts(title: str, found: Sequence[Answer], lineup: Lineup) -> Table | None:
    """Answers that did not pass, each with its verdict, reason and text, cut to a line; None without any."""
    if not found:
        return None
    rows = []
    for text in (shortened(t, _TEXT_LENGTH) for t in found):
        who = text.way if text.model == TEACHER else lineup.label(text.model)
        why = _words(text.verdict) + (f": {text.reason}" if text.reason else "")
        rows.append(Row([Cell(c) for c in (text.source, who, text.problem_id, why, text.text or NONE)]))
    note = "All of them, and each problem in full: tad show CONFIG."
    return Table(title, ["Source", "By", "Problem", "Why", "Text"], rows, left=5, notes=[note])


def windows(found: Mapping[str, Mapping[str, Any]], lineup: Lineup) -> Table:
    """The window of every model that has one, and where it came from."""
    rows = []
    for mode, w in found.items():
        cells = [lineup.label(mode), f"{w['window']}", _window_source(w)]
        rows.append(Row([Cell(c) for c in cells], model=mode))
    return Table("Windows", ["Model", "Window (steps)", "How it was chosen"], rows)


def _window_source(window: Mapping[str, Any]) -> str:
    if window["threshold"] is None:
        return "fixed in the configuration"
    below = f"below {window['threshold']:g}"
    if window["source"] == "cap":
        return f"the configured cap: smoothed confidence never falls {below}"
    if window["source"] == "calibrated":
        return f"measured: the last step before smoothed confidence falls {below}"
    if window["source"] == "quality":
        return f"raised to the Quality window from {window['raised_from']}, which would be shorter"
    if not window["crossed"]:
        return f"fixed in the configuration; smoothed confidence never falls {below}"
    return f"fixed in the configuration; smoothed confidence falls {below} at {window['crossing']:.1f} steps"


def losses(lines: Mapping[str, Sequence[Mapping[str, Any]]], lineup: Lineup) -> Table:
    """First and last losses of each distillation (means of the first and last tenth of the log)."""
    rows, terms = [], list(dict.fromkeys(name for log in lines.values() for name in terms_of(log)))
    for model, log in lines.items():
        if not log:
            continue
        tenth = max(1, len(log) // 10)
        cells = [lineup.label(model), f"{log[-1]['step']:,}"]
        for name in (*terms, "loss"):
            first, last = mean_loss(log[:tenth], name), mean_loss(log[-tenth:], name)
            cells.append(NONE if first is None or last is None else f"{first:.3f} → {last:.3f}")
        cells.append(f"{log[-1]['wall_s']:,.0f}")
        rows.append(Row([Cell(c) for c in cells], model=model))
    columns = ["Model", "Steps", *(f"{name.capitalize()} loss" for name in terms), "Total", "Seconds"]
    return Table("Distillation", columns, rows)


def terms_of(log: Sequence[Mapping[str, Any]]) -> list[str]:
    """The terms of a loss that a log counts tokens of, in its order."""
    names = dict.fromkeys(name for line in log for name in line if name.endswith("_count"))
    return [name.removesuffix("_count") for name in names if any(line.get(name, 0) for line in log)]


def mean_loss(log: Sequence[Mapping[str, Any]], name: str) -> float | None:
    """Mean of one loss over log lines, weighted by its token count where the log has one; None if absent."""
    pairs = [(line[name], line.get(f"{name}_count", 1)) for line in log if line.get(name) is not None]
    weight = sum(w for _, w in pairs)
    return sum(v * w for v, w in pairs) / weight if weight else None


def _show(form: str, value: float | None) -> str:
    return NONE if value is None else form.format(value)


def _words(reason: str) -> str:
    return reason.replace("_", " ")
