"""Evaluation under lm-eval: a model class, ``tad``, and a task for each set of problems.

lm-eval builds the prompts (chat template, no few-shot), hands all of them over at once, and adds up the metric;
the metric's value for an answer comes from the project's verifier, which judged all answers in one batch.
Nothing here ever reaches for a network: the problems are JSON Lines on disk.
"""

from __future__ import annotations

import functools
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

# Read by the libraries when they are imported, so it has to be set before.
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import datasets
import lm_eval.api.task
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.api.registry import register_model
from lm_eval.evaluator import evaluate
from lm_eval.tasks import TaskManager
from lm_eval.utils import simple_parse_args_string

from tad_core.config import ModelConfig
from tad_core.data.prompts import plain_messages
from tad_core.decoding import Decoded, DecodeSpec
from tad_core.errors import ConfigError
from tad_core.evaluation.generate import Generator
from tad_core.evaluation.scoring import Scorer
from tad_core.evaluation.sweep import Output, Tasks
from tad_core.progress import OnProgress, silent

METRIC = "solved"

# lm-eval draws a bar for the building of a few hundred prompts, which takes milliseconds.
lm_eval.api.task.tqdm = functools.partial(lm_eval.api.task.tqdm, disable=True)

#: (task name, number of the document) of a request: what lm-eval calls it.
RequestKey = tuple[str, int]
OnAnswers = Callable[[Sequence[Instance], Sequence[str]], None]


def _ignore(requests: Sequence[Instance], texts: Sequence[str]) -> None:
    """The listener that does nothing."""


@register_model("tad")
class TadLM(LM):  # type: ignore[misc]
    """A masked diffusion model that decodes all requests of a run together.

    After a run ``decoded`` holds, for each request, what was decoded: forwards, tokens, order.
    """

    def __init__(
        self,
        generator: Generator,
        spec: DecodeSpec,
        on_progress: OnProgress = silent,
        on_answers: OnAnswers = _ignore,
    ) -> None:
        super().__init__()
        self.generator, self.spec = generator, spec
        self._on_progress, self._on_answers = on_progress, on_answers
        self.decoded: dict[RequestKey, Decoded] = {}

    @classmethod
    def create_from_arg_obj(cls, arg_dict: dict[str, Any], additional_config: Any = None) -> Self:
        """Build from plain arguments: ``pretrained``, ``adapter``, and the fields of ``DecodeSpec``.

        Raises:
            ConfigError: for an argument that is not known.
        """
        extra = {k: v for k, v in (additional_config or {}).items() if v is not None}
        options = {**extra, **arg_dict}
        options.pop("max_batch_size", None)
        if "pretrained" not in options:
            raise ConfigError("model_args: pretrained is missing; give the folder of a checkpoint")
        model = {"path": options.pop("pretrained")}
        model |= {k: options.pop(k) for k in ("dtype", "device") if k in options}
        adapter, batch_size = options.pop("adapter", None), int(options.pop("batch_size", 32))
        known = set(DecodeSpec.__dataclass_fields__)
        if unknown := sorted(set(options) - known):
            raise ConfigError(
                f"model_args: {unknown[0]} is not known; use pretrained, adapter, dtype, device, batch_size, "
                f"{', '.join(sorted(known))}"
            )
        spec = DecodeSpec(**{"response_length": 256, "block_length": 32, **options})
        generator = Generator.load(ModelConfig(**model), Path(adapter) if adapter else None, batch_size)
        return cls(generator, spec)

    @classmethod
    def create_from_arg_string(cls, arg_string: str, additional_config: Any = None) -> Self:
        """The same from ``a=b,c=d``, as lm-eval's command line gives it."""
        return cls.create_from_arg_obj(simple_parse_args_string(arg_string), additional_config)

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Decode all requests; texts in their order, each cut before the first of its ``until`` strings."""
        prompts = [self.generator.encode_text(request.args[0]) for request in requests]
        decoded = self.generator.decode(prompts, self.spec, self._on_progress)
        texts = [
            cut_before(self.generator.text(one), _until(request.args[1]))
            for request, one in zip(requests, decoded, strict=True)
        ]
        self.decoded |= {_key(request): one for request, one in zip(requests, decoded, strict=True)}
        self._on_answers(requests, texts)
        return texts

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Not offered: a masked diffusion model has no exact likelihood."""
        raise NotImplementedError(
            "a masked diffusion model has no exact likelihood; use generate_until tasks"
        )

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """Not offered: see ``loglikelihood``."""
        raise NotImplementedError(
            "a masked diffusion model has no exact likelihood; use generate_until tasks"
        )

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """The text of a chat, ready for the response to follow."""
        text = self.generator.tokenizer.apply_chat_template(
            chat_history, tokenize=False, add_generation_prompt=add_generation_prompt
        )
        return str(text)

    @property
    def tokenizer_name(self) -> str:
        """Part of the name of lm-eval's own request cache, which is not used."""
        return "tad"


class LmEvalEngine:
    """Runs every task under lm-eval; see ``sweep.Engine``. Use as a context manager."""

    def __init__(self, tasks: Tasks, generator: Generator, scorer: Scorer) -> None:
        self._problems = {(name, i): p for name, found in tasks.items() for i, p in enumerate(found)}
        self._by_id = {name: {p.id: p for p in found} for name, found in tasks.items()}
        self._generator, self._scorer = generator, scorer
        self._folder = tempfile.TemporaryDirectory(prefix="tad-lm-eval-")
        self.results: list[dict[str, Any]] = []
        self._loaded = load_tasks(tasks, self._solved, Path(self._folder.name))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._folder.cleanup()

    def run(self, spec: DecodeSpec, on_progress: OnProgress = silent) -> list[Output]:
        """See ``Engine.run``; ``results`` gains what lm-eval itself reports, by task."""
        texts: dict[RequestKey, str] = {}

        def judge(requests: Sequence[Instance], answers: Sequence[str]) -> None:
            texts.update(zip(map(_key, requests), answers, strict=True))
            self._scorer.judge([self._problems[_key(r)] for r in requests], answers)

        lm = TadLM(self._generator, spec, on_progress, judge)
        found = evaluate(lm, self._loaded, bootstrap_iters=0, log_samples=False, apply_chat_template=True)
        self.results.append(found["results"])
        judged = self._scorer.judge(list(self._problems.values()), [texts[k] for k in self._problems])
        outputs = [
            Output(key[0], problem, lm.decoded[key], texts[key], judgement)
            for (key, problem), judgement in zip(self._problems.items(), judged, strict=True)
        ]
        for task in self._by_id:
            ours = [output.judgement.correct for output in outputs if output.task == task]
            theirs = found["results"][task][f"{METRIC},none"]
            assert abs(theirs - sum(ours) / len(ours)) < 1e-9, f"{task}: lm-eval {theirs}, counted {ours}"
        return outputs

    def _solved(self, task: str, doc: dict[str, Any], answers: Sequence[str]) -> dict[str, float]:
        """The metric of one document, as lm-eval asks for it; the verdict is known by then."""
        (judgement,) = self._scorer.judge([self._by_id[task][doc["id"]]], [answers[0]])
        return {METRIC: float(judgement.correct)}


def load_tasks(
    tasks: Tasks, solved: Callable[[str, dict[str, Any], Sequence[str]], dict[str, float]], folder: Path
) -> dict[str, Any]:
    """One lm-eval task for each set of problems, the documents written to ``folder``.

    Args:
        tasks: the problems by task name.
        solved: (task, document, answers) -> metric values.
        folder: where documents and the data set library's own files go.
    """
    bars = datasets.utils.logging.is_progress_bar_enabled()
    datasets.utils.logging.disable_progress_bar()
    try:
        manager = TaskManager(include_defaults=False)
        documents = {
            name: _documents(found, folder / f"{i}.jsonl") for i, (name, found) in enumerate(tasks.items())
        }
        specs = [task_config(name, path, solved) for name, path in documents.items()]
        return dict(manager.load(specs))
    finally:
        if bars:
            datasets.utils.logging.enable_progress_bar()


def task_config(
    name: str,
    documents: Path,
    solved: Callable[[str, dict[str, Any], Sequence[str]], dict[str, float]],
) -> dict[str, Any]:
    """A complete lm-eval task: the plain prompt in one user turn, no few-shot, the verifier as metric."""

    def process_results(doc: dict[str, Any], answers: Sequence[str]) -> dict[str, float]:
        return solved(name, doc, answers)

    return {
        "task": name,
        "dataset_path": "json",
        "dataset_name": None,
        "dataset_kwargs": {
            "data_files": {"test": str(documents)},
            # Without these the reader guesses, and makes a time stamp of a text that looks like one.
            "features": datasets.Features(
                {"id": datasets.Value("string"), "prompt": datasets.Value("string")}
            ),
            "cache_dir": str(documents.parent / "cache"),
        },
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "prompt",
        "doc_to_target": "id",
        "num_fewshot": 0,
        "generation_kwargs": {"until": [], "do_sample": False},
        "process_results": process_results,
        "metric_list": [{"metric": METRIC, "aggregation": "mean", "higher_is_better": True}],
        "metadata": {"version": 1.0},
    }


def cut_before(text: str, until: Sequence[str]) -> str:
    """``text`` up to the earliest of the ``until`` strings; all of it if none occurs."""
    found = [at for mark in until if mark and (at := text.find(mark)) >= 0]
    return text[: min(found)] if found else text


def _documents(problems: Sequence[Any], path: Path) -> Path:
    """One document a problem: its id and the content of its one user turn."""
    with path.open("w", encoding="utf-8") as handle:
        for problem in problems:
            (message,) = plain_messages(problem)
            handle.write(json.dumps({"id": problem.id, "prompt": message["content"]}) + "\n")
    return path


def _until(settings: dict[str, Any]) -> list[str]:
    until = settings.get("until") or []
    return [until] if isinstance(until, str) else list(until)


def _key(request: Instance) -> RequestKey:
    return str(request.task_name), int(request.doc_id)
