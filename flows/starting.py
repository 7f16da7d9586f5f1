"""``tad init``: a configuration over data of one's own, with a few lines of each kind that run as they are."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tad_core import shipped
from tad_core.artifacts.durable import check_place
from tad_core.config import SourceConfig
from tad_core.data.sources import load_problems
from tad_core.errors import ConfigError

_NAME = re.compile(r"^[a-z0-9][a-z0-9._-]*$")
MATH, CODE, CONFIG = "math.jsonl", "code.jsonl", "config.yaml"
_ROWS = {"arithmetic": 24, "pyfunc": 12}

_TEXT = """\
# Every setting: docs/settings.md. What a line of data holds, and other kinds of files: docs/data.md.
#   tad check {config}    what is wrong, if anything
#   tad plan {config}     how long it will take
#   tad run {config}      all of it; the same command again goes on where it was
name: {name}
store: {store}                      # where everything that is made goes

model:
  path: {model}               # a folder, or a hub id such as GSAI-ML/LLaDA-8B-Instruct with its revision
  dtype: float32                        # bfloat16 for a model of full size
  # revision: <commit hash>             # of a hub id

data:
  # Mathematics: judged by the answer, which is the last \\boxed{{...}} of the solution, or a column of its own.
  - name: math
    source: jsonl
    options: &math
      {{path: {folder}/math.jsonl, question: question, reference: solution, answer: answer, heldout_share: 0.2}}
    # max_unknown: 0.25                 # at most this share of the words may be unknown to the model
  # Programs: judged by running the tests, a text or a list of asserts.
  - name: code
    source: jsonl
    options: &code
      {{path: {folder}/code.jsonl, kind: code, question: question, reference: solution, tests: tests,
       heldout_share: 0.2}}

rollout:
  response_length: 64                   # tokens of an answer; 256 and more for a model of full size
  block_length: 16                      # decoded block by block; divides response_length
  samples: 1                            # trajectories a problem
  shard_size: 16                        # problems written at once: the most that a stopped run repeats

calibrate:
  states: 32

distill:
  max_steps: 8                          # leave it out to train on everything once
  learning_rate: 1.5e-3                 # 2e-5 or so for a model of full size
  states_per_trajectory: 8
  global_batch_size: 16
  micro_batch_size: 16                  # what fits into memory; changes no result
  lora: {{rank: 64, alpha: 64, dropout: 0.0}}

evaluate:
  # Problems that training has not seen: the fifth that heldout_share keeps apart.
  tasks:
    - {{name: math, source: jsonl, split: heldout, options: *math}}
    - {{name: code, source: jsonl, split: heldout, options: *code}}
  thresholds: [0.1, 0.5]                # of parallel decoding: higher is faster and less sure
  operating_threshold: 0.5
  decode: {{block_length: 16, block_add_threshold: 1.0}}
"""


def start(folder: Path) -> Path:
    """Write a configuration and sample data into a new folder; returns the configuration.

    Raises:
        ConfigError: a name that no set-up may have, or a folder that holds something or cannot be made.
    """
    name = folder.resolve().name
    if not _NAME.match(name):
        raise ConfigError(
            f"NAME: {name!r} cannot be the name of a set-up; use lower-case letters, digits and . _ -, e.g. my-data"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"NAME: {folder} is there already and not an empty folder; give another name")
    check_place(folder, "NAME")
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / MATH, "arithmetic")
    _write(folder / CODE, "pyfunc")
    # Relative paths start where a command is typed: all of one kind, so that they hold at the same place.
    model = shipped.root() / shipped.MODEL if folder.is_absolute() else shipped.model_here()
    config = folder / CONFIG
    store = folder / "runs" if folder.is_absolute() else f"runs/{name}"
    text = _TEXT.format(name=name, folder=folder, config=config, model=model, store=store)
    config.write_text(text, encoding="utf-8")
    return config


def _write(file: Path, generator: str) -> None:
    source = SourceConfig(
        name=generator, source=generator, count=_ROWS[generator], options={"min_steps": 2, "max_steps": 3}
    )
    rows = []
    for problem in load_problems([source]):
        row: dict[str, object] = {"question": problem.question, "solution": problem.reference}
        if problem.kind == "math":
            row["answer"] = problem.answer
        else:
            row["tests"] = problem.tests.strip().split("\n")
        rows.append(json.dumps(row) + "\n")
    file.write_text("".join(rows), encoding="utf-8")
