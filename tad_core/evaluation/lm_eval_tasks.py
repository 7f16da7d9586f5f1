"""The tasks of a configuration as tasks of lm-eval, their documents in local files."""

from __future__ import annotations

import copy
import dataclasses
import functools
import importlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import lm_eval.api.task
from lm_eval.api.group import Group
from lm_eval.api.task import ConfigurableTask
from lm_eval.config.group import GroupConfig
from lm_eval.tasks import TaskManager

from tad_core.data.problem import Problem
from tad_core.data.prompts import plain_messages
from tad_core.evaluation.benchmarks import BENCHMARKS
from tad_core.evaluation.benchmarks.base import Benchmark, FunctionName, benchmark_of
from tad_core.evaluation.sweep import Tasks

#: lm-eval's name for the verdict, in tasks that are not benchmarks.
SOLVED = "solved"

#: (task, document, answers) -> metric values
Solved = Callable[[str, dict[str, Any], Sequence[str]], dict[str, float]]

# lm-eval draws a bar for the building of a few hundred prompts, which takes milliseconds.
lm_eval.api.task.tqdm = functools.partial(lm_eval.api.task.tqdm, disable=True)

_TYPES = {
    str: datasets.Value("string"),
    int: datasets.Value("int64"),
    list: datasets.List(datasets.Value("string")),
}


@dataclass(frozen=True)
class LoadedTasks:
    """What lm-eval runs.

    Attributes:
        tasks: for its ``evaluate``.
        problems: each task's problems in the order of its documents, by lm-eval's name of the task.
        entries: the task of the configuration that each is, or is a subset of.
    """

    tasks: dict[str, Any]
    problems: dict[str, list[Problem]]
    entries: dict[str, str]


#: lm-eval and the data set library keep settings, locks and seeds for the whole process, and are not made for threads;
#: models are evaluated side by side.
ONE_AT_A_TIME = threading.Lock()


def load_tasks(tasks: Tasks, solved: Solved, folder: Path) -> LoadedTasks:
    """A task of lm-eval for each set of problems; a group of tasks for a benchmark with subsets.

    Args:
        tasks: the problems by task name.
        solved: metric of the tasks that are no benchmarks.
        folder: where documents and the data set library's own files go.
    """
    specs: list[dict[str, Any] | Group] = []
    problems: dict[str, list[Problem]] = {}
    entries: dict[str, str] = {}
    with ONE_AT_A_TIME, _local():
        for i, (name, found) in enumerate(tasks.items()):
            path = folder / str(i)
            benchmark = BENCHMARKS.get(benchmark_of(found[0]) or "")
            named = {name: list(found)}
            if benchmark is None:
                specs.append(local_task(name, _write(path, map(_local_document, found)), solved))
            elif "group" not in benchmark.config:
                specs.append(_benchmark_task(name, benchmark, found, path))
            else:
                by_subset = _by_subset(found)
                specs.append(_benchmark_group(name, benchmark, by_subset, path))
                named = {_subset_name(name, subset): own for subset, own in by_subset.items()}
            problems |= named
            entries |= dict.fromkeys(named, name)
        return LoadedTasks(dict(TaskManager(include_defaults=False).load(specs)), problems, entries)


def local_task(name: str, documents: Path, solved: Solved) -> dict[str, Any]:
    """A complete lm-eval task: the plain prompt in one user turn, no examples, the verifier as metric."""

    def process_results(doc: dict[str, Any], answers: Sequence[str]) -> dict[str, float]:
        return solved(name, doc, answers)

    return {
        "task": name,
        **_data_set(documents, {"id": str, "prompt": str}),
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "prompt",
        "doc_to_target": "id",
        "num_fewshot": 0,
        "generation_kwargs": {"until": [], "do_sample": False},
        "process_results": process_results,
        "metric_list": [{"metric": SOLVED, "aggregation": "mean", "higher_is_better": True}],
        "metadata": {"version": 1.0},
    }


def _benchmark_task(
    name: str, benchmark: Benchmark, problems: Sequence[Problem], path: Path
) -> dict[str, Any]:
    documents = _write(path, map(_benchmark_document, problems))
    shots = problems[0].meta["shots"]
    return {
        **_with_functions(benchmark.config),
        "task": name,
        "num_fewshot": shots,
        **_data_set(documents, {"id": str, **benchmark.columns}),
    }


def _benchmark_group(
    name: str, benchmark: Benchmark, by_subset: Mapping[str, Sequence[Problem]], path: Path
) -> Group:
    """A task for each subset, and how lm-eval adds them up: weighted by their size."""
    fields = {f.name for f in dataclasses.fields(GroupConfig)}
    shared = {key: value for key, value in benchmark.config.items() if key not in fields}
    own = {key: value for key, value in benchmark.config.items() if key in fields}
    group = Group.from_config({**own, "group": name, "task": list(by_subset)})
    for subset, problems in by_subset.items():
        config = {
            **_with_functions(shared),
            "task": _subset_name(name, subset),
            "num_fewshot": problems[0].meta["shots"],
            **_data_set(
                _write(path / subset, map(_benchmark_document, problems)), {"id": str, **benchmark.columns}
            ),
        }
        group.add(ConfigurableTask(config=config))
    return group


def _subset_name(name: str, subset: str) -> str:
    """As lm-eval joins the names of a group and of what is in it."""
    return f"{name}::{subset}"


def _by_subset(problems: Sequence[Problem]) -> dict[str, list[Problem]]:
    found: dict[str, list[Problem]] = {}
    for problem in problems:
        found.setdefault(problem.meta["subset"], []).append(problem)
    return found


def _with_functions(tree: Any) -> Any:
    """A copy of a YAML's tree with the functions that it names."""
    if isinstance(tree, FunctionName):
        module, _, name = tree.rpartition(".")
        return getattr(importlib.import_module(module), name)
    if isinstance(tree, dict):
        return {key: _with_functions(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_with_functions(value) for value in tree]
    return copy.copy(tree)


# --- documents --------------------------------------------------------------------------------------


def _local_document(problem: Problem) -> dict[str, Any]:
    """The id and the content of the one user turn."""
    (message,) = plain_messages(problem)
    return {"id": problem.id, "prompt": message["content"]}


def _benchmark_document(problem: Problem) -> dict[str, Any]:
    return {"id": problem.id, **problem.meta["row"]}


def _write(folder: Path, documents: Any) -> Path:
    folder.mkdir(parents=True)
    path = folder / "documents.jsonl"
    with path.open("w", encoding="utf-8") as handle:
        handle.writelines(json.dumps(document) + "\n" for document in documents)
    return path


def _data_set(documents: Path, columns: Mapping[str, type]) -> dict[str, Any]:
    """The fields of an lm-eval task that say where its documents are."""
    return {
        "dataset_path": "json",
        "dataset_name": None,
        "dataset_kwargs": {
            "data_files": {"test": str(documents)},
            # Without these the reader guesses, and makes a time stamp of a text that looks like one.
            "features": datasets.Features({column: _TYPES[kind] for column, kind in columns.items()}),
            "cache_dir": str(documents.parent / "cache"),
        },
    }


@contextmanager
def _local() -> Iterator[None]:
    """Local files are read without bars, and without a word to the hub, which would like to count them."""
    settings = datasets.config
    bars, offline, counts = (
        datasets.utils.logging.is_progress_bar_enabled(),
        settings.HF_HUB_OFFLINE,
        settings.HF_UPDATE_DOWNLOAD_COUNTS,
    )
    datasets.utils.logging.disable_progress_bar()
    settings.HF_HUB_OFFLINE, settings.HF_UPDATE_DOWNLOAD_COUNTS = True, False
    try:
        yield
    finally:
        settings.HF_HUB_OFFLINE, settings.HF_UPDATE_DOWNLOAD_COUNTS = offline, counts
        if bars:
            datasets.utils.logging.enable_progress_bar()
