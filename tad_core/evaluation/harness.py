"""Evaluation under lm-eval: the engine that runs its tasks with its model class ``tad``.

lm-eval builds the prompts (chat template, all examples in one user turn), is given what was decoded for them, and adds
up its own metrics. Nothing here ever reaches for a network: the documents are JSON Lines on disk.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lm_eval.api.instance import Instance
from lm_eval.evaluator import evaluate

from tad_core.artifacts.unwritable import temporary_errors
from tad_core.data.problem import Problem
from tad_core.decoding import Decoded, DecodeSpec, OnDecoded
from tad_core.errors import ConfigError
from tad_core.evaluation.answers import figures, judge
from tad_core.evaluation.benchmarks.base import Figures, benchmark_of
from tad_core.evaluation.benchmarks.functions import judging
from tad_core.evaluation.generate import Texts
from tad_core.evaluation.lm import RequestKey, TadLM, key_of
from tad_core.evaluation.lm_eval_tasks import ONE_AT_A_TIME, SOLVED, load_tasks
from tad_core.evaluation.prompting import chat_text, messages_of
from tad_core.evaluation.scoring import Scorer
from tad_core.evaluation.sweep import Decodings, Output, Tasks


class LmEvalEngine:
    """Runs every task under lm-eval; see ``sweep.Engine``. Use as a context manager."""

    def __init__(self, tasks: Tasks, texts: Texts, scorer: Scorer) -> None:
        self._asked = [(task, problem) for task, problems in tasks.items() for problem in problems]
        self._by_id = {name: {p.id: p for p in found} for name, found in tasks.items()}
        self._texts, self._scorer = texts, scorer
        self.results: list[dict[str, Any]] = []
        with temporary_errors():
            self._folder = tempfile.TemporaryDirectory(prefix="tad-lm-eval-")
            self._loaded = load_tasks(tasks, self._solved, Path(self._folder.name))
        self._problems: dict[RequestKey, Problem] = {
            (name, i, 0): problem
            for name, found in self._loaded.problems.items()
            for i, problem in enumerate(found)
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._folder.cleanup()

    def run(self, spec: DecodeSpec, decodings: Decodings) -> list[Output]:
        """See ``Engine.run``; ``results`` gains what lm-eval itself reports, by task and group.

        Raises:
            ConfigError: when lm-eval builds another prompt than the direct engine.
        """
        answers: dict[RequestKey, str] = {}

        def listen(requests: Sequence[Instance], texts: Sequence[str]) -> None:
            answers.update(zip(map(key_of, requests), texts, strict=True))
            # All at once, over several processes, and remembered; lm-eval then asks for one answer at a time.
            problems = [self._problems[key_of(r)] for r in requests]
            judge(problems, texts, self._scorer)
            figures(problems, texts, self._scorer)

        def decoded(requests: Sequence[Instance], _: OnDecoded) -> list[Decoded]:
            self._check_prompts(requests)
            keys = map(key_of, requests)
            return [decodings[self._loaded.entries[key[0]], self._problems[key].id] for key in keys]

        lm = TadLM(self._texts, spec, decoded, listen)
        with ONE_AT_A_TIME, judging(self._scorer):
            found = evaluate(
                lm, self._loaded.tasks, bootstrap_iters=0, log_samples=True, apply_chat_template=True
            )
        self.results.append(found["results"] | found.get("groups", {}))
        counted = _figures(found["samples"])
        by_problem = {
            (self._loaded.entries[name], p.id): (name, i, n) for (name, i, n), p in self._problems.items()
        }
        keys = [by_problem[task, problem.id] for task, problem in self._asked]
        judged = judge([p for _, p in self._asked], [answers[k] for k in keys], self._scorer)
        outputs = [
            Output(task, problem, lm.decoded[k], answers[k], judgement, counted.get(k, {}))
            for (task, problem), k, judgement in zip(self._asked, keys, judged, strict=True)
        ]
        self._check_counts(outputs)
        return outputs

    def _check_prompts(self, requests: Sequence[Instance]) -> None:
        """Both engines send the very same text, whatever version of lm-eval this is."""
        for request in requests:
            problem = self._problems[key_of(request)]
            if request.args[0] != chat_text(self._texts.tokenizer, messages_of(problem)):
                raise ConfigError(
                    f"evaluate.harness: lm-eval builds another prompt for {problem.id} than its definition says; "
                    "install the pinned lm-eval (`make env`), or use harness: direct"
                )

    def _check_counts(self, outputs: Sequence[Output]) -> None:
        """lm-eval's sums agree with a count of ours, group by group."""
        results = self.results[-1]
        for task in self._by_id:
            own = [output for output in outputs if output.task == task]
            counted = {name: sum(o.figures[name] for o in own) / len(own) for name in own[0].figures}
            if not benchmark_of(own[0].problem):
                counted = {f"{SOLVED},none": sum(o.judgement.correct for o in own) / len(own)}
            for name, share in counted.items():
                theirs = results[task][name]
                assert abs(theirs - share) < 1e-9, f"{task}: {name}: lm-eval {theirs}, counted {share}"

    def _solved(self, task: str, doc: dict[str, Any], answers: Sequence[str]) -> dict[str, float]:
        """The metric of one document, as lm-eval asks for it; the verdict is known by then."""
        (judgement,) = self._scorer.judge([self._by_id[task][doc["id"]]], [answers[0]])
        return {SOLVED: float(judgement.correct)}


def _figures(samples: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[RequestKey, Figures]:
    """lm-eval's own values for each request, by ``metric,filter``; the verdict itself is not among them."""
    found: dict[RequestKey, Figures] = {}
    for task, rows in samples.items():
        for row in rows:
            own = found.setdefault((task, int(row["doc_id"]), 0), {})
            for metric in row["metrics"]:
                if metric != SOLVED:
                    own[f"{metric},{row['filter']}"] = float(row[metric])
    return found
