"""What evaluation measures of one problem, its Parquet file, and the points that add it up."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

SCHEMA_VERSION = 4

RESULT_SCHEMA = pa.schema(
    [
        pa.field("task", pa.string(), nullable=False),
        pa.field("model", pa.string(), nullable=False),
        pa.field("method", pa.string(), nullable=False),
        pa.field("threshold", pa.float64(), nullable=False),
        pa.field("problem_id", pa.string(), nullable=False),
        pa.field("correct", pa.bool_(), nullable=False),
        pa.field("verdict", pa.string(), nullable=False),
        pa.field("forwards", pa.int32(), nullable=False),
        pa.field("tokens", pa.int32(), nullable=False),
        pa.field("tokens_text", pa.int32(), nullable=False),
        pa.field("wall_s", pa.float64(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("subset", pa.string(), nullable=False),
        pa.field("figures", pa.map_(pa.string(), pa.float64()), nullable=False),
        pa.field("full_forwards", pa.int32()),
        pa.field("computed", pa.int64()),
        pa.field("reason", pa.string(), nullable=False),
    ],
    metadata={"tad.schema": f"result/{SCHEMA_VERSION}"},
)


@dataclass(frozen=True)
class Record:
    """One problem, decoded one way by one model.

    Attributes:
        task: name of the benchmark.
        model: ``base``, ``quality`` …
        method: by its name in ``POLICIES``.
        threshold: of ``"entropy"`` in nats, of another method the value of its knob (``DecodeSpec.level``); 0 token by
            token.
        correct: whether the verdict is a pass.
        verdict: the verifier's word.
        forwards: forward passes that served this problem.
        tokens: tokens revealed by forwards, end-of-text included, filled-in ones not.
        tokens_text: tokens before the first that ends the turn or the text.
        wall_s: this problem's share of the time of its forwards.
        text: the response up to the end of its turn or text and to the mark that ends an answer of its benchmark.
        subset: part of the benchmark, e.g. ``algebra``; empty where there are none.
        figures: lm-eval's own values by its names, e.g. ``exact_match,strict-match``; empty without a benchmark.
        full_forwards: of the forwards those that took nothing from a cache; None in files from before it was counted.
        computed: tokens computed over all forwards, prompt and response; None likewise.
        reason: the verifier's, in a line; empty in files from before it was kept.
    """

    task: str
    model: str
    method: str
    threshold: float
    problem_id: str
    correct: bool
    verdict: str
    forwards: int
    tokens: int
    tokens_text: int
    wall_s: float
    text: str
    subset: str = ""
    figures: dict[str, float] = field(default_factory=dict)
    full_forwards: int | None = None
    computed: int | None = None
    reason: str = ""


Way = tuple[str, str, str, float]


def way_name(method: str, threshold: float) -> str:
    """How something was decoded, as tables say it: an entropy in nats is a number."""
    if method == "token_by_token":
        return "token by token"
    return f"{threshold:g}" if method == "entropy" else f"{method} {threshold:g}"


def way_words(method: str, threshold: float) -> str:
    """How something was decoded, in a sentence."""
    name = way_name(method, threshold)
    return f"threshold {name}" if method == "entropy" else name


def way_of(record: Record) -> Way:
    """Task, model, method and threshold: what one point is measured over."""
    return record.task, record.model, record.method, record.threshold


def points(records: Iterable[Record]) -> list[dict[str, Any]]:
    """One point for each task, model, method and threshold, in the order they first appear.

    ``accuracy`` is in percent; ``tpf`` counts every revealed token, ``tpf_text`` those of
    the text, both over all forwards; ``tokens_per_s`` is revealed tokens per second of one device (a GPU, or one
    process on a CPU), however many decoded beside it. ``nfe`` and ``full_nfe`` are forwards a problem, all and those
    that took nothing from a cache; ``computed_per_token`` is tokens computed a revealed token, prompt and response: the
    last two are None where some record does not have them.
    """
    groups: dict[Way, list[Record]] = {}
    for record in records:
        groups.setdefault(way_of(record), []).append(record)
    return [_point(way, group) for way, group in groups.items()]


def _point(way: Way, group: Sequence[Record]) -> dict[str, Any]:
    task, model, method, threshold = way
    forwards, tokens = sum(r.forwards for r in group), sum(r.tokens for r in group)
    wall_s = sum(r.wall_s for r in group)
    point = {
        "task": task,
        "model": model,
        "method": method,
        "threshold": threshold,
        "problems": len(group),
        "accuracy": 100 * sum(r.correct for r in group) / len(group),
        "tpf": tokens / forwards,
        "tpf_text": sum(r.tokens_text for r in group) / forwards,
        "tokens_per_s": tokens / wall_s if wall_s > 0 else 0.0,
        "forwards": forwards,
        "nfe": forwards / len(group),
        "full_nfe": ratio([r.full_forwards for r in group], len(group)),
        "computed_per_token": ratio([r.computed for r in group], tokens),
    }
    if group[0].figures:
        point["figures"] = {name: _percent(r.figures[name] for r in group) for name in group[0].figures}
    if subsets := dict.fromkeys(r.subset for r in group if r.subset):
        point["subsets"] = {
            subset: {"problems": len(own), "accuracy": _percent(r.correct for r in own)}
            for subset in subsets
            if (own := [r for r in group if r.subset == subset])
        }
    return point


def ratio(counts: Sequence[int | None], over: float) -> float | None:
    """Their sum by ``over``; None where one is not known."""
    known = [count for count in counts if count is not None]
    return sum(known) / over if over and len(known) == len(counts) else None


def _percent(values: Iterable[float]) -> float:
    found = list(values)
    return 100 * sum(found) / len(found)


def write_records(path: str | Path, records: Sequence[Record]) -> None:
    """Write Parquet with page checksums."""
    rows = [dataclasses.asdict(r) for r in records]
    table = pa.Table.from_pylist(rows, schema=RESULT_SCHEMA)
    pq.write_table(table, str(path), write_page_checksum=True, compression="zstd")


def read_records(path: str | Path) -> list[Record]:
    """Read what ``write_records`` wrote, verifying its page checksums."""
    table = pq.read_table(str(path), page_checksum_verification=True)
    rows = table.to_pylist(maps_as_pydicts="strict")
    return [Record(**row) for row in rows]
