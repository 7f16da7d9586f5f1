"""The sweep: what was decoded of every task, token by token and at every threshold, judged, as records.

Two ways lead to the same records: under lm-eval, whose tasks and metric are then used, and directly, where
lm-eval is not installed or not wanted.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tad_core.config import TADConfig
from tad_core.data.problem import Problem
from tad_core.decoding import Decoded, DecodeSpec
from tad_core.evaluation.answers import cut_before, figures, judge, until_of
from tad_core.evaluation.decoders import operating_spec, ways
from tad_core.evaluation.generate import Texts
from tad_core.evaluation.records import Record
from tad_core.evaluation.scoring import Scorer
from tad_core.verify.verdict import Judgement

#: The problems of each task, by the task's name.
Tasks = Mapping[str, Sequence[Problem]]
#: What was decoded one way, by task and problem id.
Decodings = Mapping[tuple[str, str], Decoded]


@dataclass(frozen=True)
class Output:
    """One answer: what was decoded, its text, the verdict on it, and lm-eval's own figures of it."""

    task: str
    problem: Problem
    decoded: Decoded
    text: str
    judgement: Judgement
    figures: dict[str, float] = field(default_factory=dict)


class Engine(Protocol):
    """Judges and counts the answers to every problem of every task; ``run`` is called once for each way."""

    def run(self, spec: DecodeSpec, decodings: Decodings) -> list[Output]:
        """All outputs, task by task, in the order of the problems."""
        ...


class DirectEngine:
    """Judges, and counts lm-eval's figures by the rules of its tasks."""

    def __init__(self, tasks: Tasks, texts: Texts, scorer: Scorer) -> None:
        self._asked = [(task, problem) for task, problems in tasks.items() for problem in problems]
        self._texts, self._scorer = texts, scorer

    def run(self, spec: DecodeSpec, decodings: Decodings) -> list[Output]:
        """See ``Engine.run``."""
        del spec
        decoded = [decodings[task, problem.id] for task, problem in self._asked]
        problems = [problem for _, problem in self._asked]
        texts = [cut_before(self._texts.text(d), until_of(p)) for d, p in zip(decoded, problems, strict=True)]
        judged = judge(problems, texts, self._scorer)
        counted = figures(problems, texts, self._scorer)
        return [
            Output(*asked, d, text, judgement, own)
            for asked, d, text, judgement, own in zip(
                self._asked, decoded, texts, judged, counted, strict=True
            )
        ]


def sweep(
    config: TADConfig,
    model_name: str,
    engine: Engine,
    texts: Texts,
    decodings: Callable[[DecodeSpec], Decodings],
) -> tuple[list[Record], dict[str, Any]]:
    """Every way over every task.

    Args:
        config: the run.
        model_name: ``base``, ``quality`` …
        engine: judges and counts.
        texts: of the model.
        decodings: gives what was decoded one way; asked for one way after the other.

    Returns:
        The records, and the first problem of the first task as decoded token by token and at the operating
        threshold (``example.json``).
    """
    records: list[Record] = []
    shown: list[tuple[DecodeSpec, Output]] = []
    operating = operating_spec(config, model_name)
    for spec in ways(config, model_name):
        outputs = engine.run(spec, decodings(spec))
        records += [record_of(model_name, spec, output, texts) for output in outputs]
        if spec.method == "token_by_token" or spec == operating:
            shown.append((spec, outputs[0]))
    return records, _example(model_name, texts, shown)


def record_of(model_name: str, spec: DecodeSpec, output: Output, texts: Texts) -> Record:
    """What is kept of one answer."""
    decoded, judgement = output.decoded, output.judgement
    return Record(
        task=output.task,
        model=model_name,
        method=spec.method,
        threshold=spec.level,
        problem_id=output.problem.id,
        correct=judgement.correct,
        verdict=str(judgement.verdict),
        forwards=decoded.forwards,
        tokens=decoded.revealed,
        tokens_text=texts.text_tokens(decoded),
        wall_s=decoded.wall_s,
        text=output.text,
        subset=output.problem.meta.get("subset", ""),
        figures=output.figures,
        full_forwards=decoded.full_forwards,
        computed=decoded.computed,
        reason=judgement.reason,
    )


def _example(model_name: str, texts: Texts, shown: Sequence[tuple[DecodeSpec, Output]]) -> dict[str, Any]:
    first = shown[0][1]
    return {
        "task": first.task,
        "model": model_name,
        "problem_id": first.problem.id,
        "prompt": first.problem.question,
        "decodings": [
            {
                "method": spec.method,
                "threshold": spec.level,
                "tokens": texts.token_strings(output.decoded.tokens),
                "revealed_at": output.decoded.revealed_at,
                "tokens_text": texts.text_tokens(output.decoded),
                "forwards": output.decoded.forwards,
                "correct": output.judgement.correct,
                "text": output.text,
            }
            for spec, output in shown
        ],
    }


@contextlib.contextmanager
def make_engine(harness: str, tasks: Tasks, texts: Texts, scorer: Scorer) -> Iterator[Engine]:
    """The engine ``evaluate.harness`` names, open until the block ends."""
    if harness == "direct":
        yield DirectEngine(tasks, texts, scorer)
        return
    from tad_core.evaluation.harness import LmEvalEngine  # lm-eval is heavy, and not installed everywhere

    with LmEvalEngine(tasks, texts, scorer) as engine:
        yield engine
