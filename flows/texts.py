"""``tad show``: what a run has written and how it was judged; one problem with everything that was made of it."""

from __future__ import annotations

import colorsys
import difflib
import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text as Line

from flows.terminal import plain_console, plain_table
from tad_core.artifacts import Store
from tad_core.checkpoint import load_tokenizer
from tad_core.config import TADConfig
from tad_core.data.problem import Problem
from tad_core.data.prompts import plain_messages
from tad_core.errors import ConfigError
from tad_core.hub import without_fetching
from tad_core.report.texts import (
    NOT_JUDGED,
    PASSED,
    Shard,
    Text,
    Wanted,
    answers,
    counted,
    rollouts,
    shortened,
    spread,
    trajectory_of,
)
from tad_core.stages.evaluate import load_tasks
from tad_core.stages.pipeline import plan_of
from tad_core.stages.texts import finished, shards_of
from tad_core.trajectory.schema import Trajectory

_STYLE = {PASSED: "green", NOT_JUDGED: "yellow"}


def show(config: TADConfig, wanted: Wanted, limit: int, as_json: bool) -> None:
    """Print counts by source, model and way, then the texts that are wanted; of one problem all in full.

    Raises:
        ConfigError: nothing is there yet, or a filter fits nothing that is, with what there is.
    """
    store, console = Store(config.store), plain_console()
    with without_fetching():
        shards = shards_of(config, store)
        evaluated = finished(config, store, "evaluate")
    everything = [*rollouts(shards), *answers(evaluated)]
    if not everything:
        raise ConfigError(
            f"store: {config.store} has no texts of this configuration yet; run `tad collect` with this "
            "configuration first, or give the overrides and the store of the run"
        )
    found = [text for text in everything if wanted.takes(text)]
    if not found:
        raise ConfigError(_nothing(wanted, everything))
    if as_json:
        for text in found[:limit] if limit else found:
            json.dump(text.as_dict(), sys.stdout, ensure_ascii=False)
            sys.stdout.write("\n")
        return
    if wanted.problem:
        _problem(config, found, shards, console)
        return
    console.print(f"{config.name} in {store.root}", style="italic", soft_wrap=True)
    _shards(shards, everything, store, console)
    console.print(_counts(found))
    if any(wanted):
        for text in found[:limit] if limit else found:
            _entry(text, console)
    else:
        console.print("the first of each that did not pass:", style="dim")
        for text in spread((t for t in found if t.verdict not in (PASSED, NOT_JUDGED)), 1)[: limit or None]:
            _entry(text, console)
        console.print(
            "more: --source, --verdict (or wrong), --model, --way; one problem: --problem ID", style="dim"
        )


def _nothing(wanted: Wanted, everything: Sequence[Text]) -> str:
    """Which filter fits nothing, and what would."""
    known = {
        "source": [t.source for t in everything],
        "verdict": [*(t.verdict for t in everything), "wrong"],
        "model": [t.model for t in everything],
        "way": [t.way for t in everything],
        "problem": [t.problem_id for t in everything],
    }
    for name, given in wanted._asdict().items():
        there = list(dict.fromkeys(known[name]))
        if given and given not in there:
            if name == "problem":
                near = difflib.get_close_matches(given, there, n=3) or there[:3]
                return f"--problem: {given!r} is not there; did you mean {', '.join(near)}?"
            return f"--{name}: {given!r} is not there; use one of {', '.join(there)}"
    return "no text is all of that at once; leave a filter out"


def _shards(shards: Sequence[Shard], everything: Sequence[Text], store: Store, console: Console) -> None:
    judged = sum(shard.verdicts is not None for shard in shards)
    rows = sum(bool(text.shard) for text in everything)
    console.print(
        f"{len(shards)} shard{'s' * (len(shards) > 1)}, {judged} judged, with {rows:,} trajectories",
        highlight=False,
    )
    for shard in shards[:3]:
        place = f"{shard.trajectories.url}/{shard.name}".removeprefix(store.root).lstrip("/")
        console.print(f"  {place}", soft_wrap=True)
    if len(shards) > 3:
        console.print(f"  and {len(shards) - 3} more beside them")


def _counts(texts: Sequence[Text]) -> Table:
    table = plain_table(
        "source", "model", "way", "texts", "passed", "verdicts of the others", right=("texts", "passed")
    )
    for source, model, way, verdicts in counted(texts):
        others = ", ".join(f"{verdict} {n}" for verdict, n in verdicts.most_common() if verdict != PASSED)
        table.add_row(
            *map(Line, (source, model, way, f"{verdicts.total():,}", f"{verdicts[PASSED]:,}", others))
        )
    return table


def _head(text: Text) -> Line:
    line = Line()
    line.append(text.problem_id, style="bold")
    line.append(f"  {text.model}, {text.way}{f', sample {text.sample}' if text.shard else ''}: ")
    line.append(text.verdict, style=_STYLE.get(text.verdict, "red"))
    if text.reason:
        line.append(f" ({text.reason})")
    return line


def _entry(text: Text, console: Console) -> None:
    short = shortened(text, 300)
    console.print(_head(short))
    if short.extracted and len(short.extracted) < 80:
        console.print(Line(f"  answer: {short.extracted}"))
    console.print(Line(f"  {short.text}", style="dim"))


def _problem(config: TADConfig, texts: Sequence[Text], shards: Sequence[Shard], console: Console) -> None:
    problem = next((p for p in _problems(config) if p.id == texts[0].problem_id), None)
    if problem is not None:
        parts = [
            ("prompt", plain_messages(problem)[0]["content"]),
            ("reference", problem.reference),
            ("answer", problem.answer),
            ("tests", problem.tests),
        ]
        for name, told in parts:
            if told:
                console.print(Line(name, style="bold"))
                console.print(Line(told), soft_wrap=True)
    tokenizer = load_tokenizer(config.model)
    for text in texts:
        console.rule()
        console.print(_head(text))
        if text.extracted and text.extracted != text.text:
            console.print(Line(f"judged: {text.extracted}"), soft_wrap=True)
        row = trajectory_of(text, shards)
        console.print(_coloured(row, tokenizer) if row is not None else Line(text.text), soft_wrap=True)
    if any(text.shard for text in texts):
        console.rule()
        legend = Line("revealed ")
        for i in range(24):
            legend.append("█", style=_colour(i / 23))
        legend.append(" first to last step; underlined: filled in without a step of the model")
        console.print(legend)


def _problems(config: TADConfig) -> Iterator[Problem]:
    yield from plan_of(config).ordered
    for problems in load_tasks(config).values():
        yield from problems


def _coloured(row: Trajectory, tokenizer: Any) -> Line:
    """The response in the order of the text, coloured by the step at which each token was revealed."""
    line, last = Line(), max(1, len(row.response_ids) - 1)
    ids = row.response_ids
    whole = ""
    for i, step in enumerate(row.revealed_at):
        # What a token adds to the text before it: the tokenizer decides about the spaces between.
        now = tokenizer.decode(ids[: i + 1], skip_special_tokens=True)
        added = now[len(whole) :] if now.startswith(whole) else tokenizer.decode([ids[i]])
        whole = now
        style = _colour((step - 1) / last)
        line.append(added, style=f"{style} underline" if step >= row.filled_from else style)
    return line


def _colour(share: float) -> str:
    """From blue (the first step) over green to red (the last)."""
    r, g, b = colorsys.hsv_to_rgb(0.62 * (1 - share), 0.85, 0.95)
    return f"#{round(255 * r):02x}{round(255 * g):02x}{round(255 * b):02x}"
