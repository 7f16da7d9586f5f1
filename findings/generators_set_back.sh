#!/usr/bin/env bash
# lm-eval 0.4.13, transformers 5.23.0, accelerate 1.15.0, torch 2.13.0, CPU: an evaluation, and making a Trainer, set back every generator.
#
# Guess: the seeds that simple_evaluate and TrainingArguments have are for what these draw, when they draw it: few-shot examples, the order
# of rows, dropout. Calling simple_evaluate, or making a Trainer that is not started, leaves the generators of the process alone.
# Behaviour: both seed random, numpy and torch for the whole process with constants (0 and 1234; 42). A training loop that evaluates now and then
# draws the same masks, noise and augmentations after each evaluation. A random search that draws a learning rate and makes a
# Trainer tries one rate over and over, from the second trial on. simple_evaluate with random_seed=None and so on, or evaluate,
# leave them alone; a Trainer always does it: what draws beside it needs a generator of its own.
# Seen, a number of random, numpy and torch after each of two evaluations: 0.472, 0.192, 0.029 both times; after each of two Trainers: 0.639, 0.375, 0.882.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check \
  lm_eval==0.4.13 datasets==5.2.0 pyarrow==26.0.1 transformers==5.23.0 accelerate==1.15.0 torch==2.13.0 numpy==2.4.6
cat > "$work/back.py" <<'PY'
import logging
import random
from importlib.metadata import version

import accelerate
import datasets
import lm_eval
import numpy as np
import torch
import transformers
from lm_eval.api.model import LM
from lm_eval.tasks import TaskManager

datasets.disable_progress_bars()
logging.disable(logging.WARNING)


class Model(LM):
    def generate_until(self, requests, **_):
        return ["x" for _ in requests]

    def loglikelihood(self, requests):
        raise NotImplementedError

    loglikelihood_rolling = loglikelihood


rows = [{"question": "What?", "answer": "x"}]
task = {
    "task": "one",
    "custom_dataset": lambda **_: datasets.DatasetDict(test=datasets.Dataset.from_list(rows)),
    "test_split": "test",
    "doc_to_text": "{{question}}",
    "doc_to_target": "{{answer}}",
    "output_type": "generate_until",
    "generation_kwargs": {"until": ["\n"]},
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
}
manager = TaskManager()
without = {"random_seed": None, "numpy_random_seed": None, "torch_random_seed": None}


def evaluated(**options):
    result = lm_eval.simple_evaluate(Model(), tasks=[dict(task)], task_manager=manager, bootstrap_iters=0, **options)
    assert result["results"]["one"]["exact_match,none"] == 1.0


def made():
    transformers.Trainer(torch.nn.Linear(1, 1), transformers.TrainingArguments("out", use_cpu=True, report_to=[]))


def drawn(between):
    """What random, numpy and torch draw after each of two times."""
    seen = []
    for _ in range(2):
        between()
        seen.append(tuple(round(x, 3) for x in (random.random(), np.random.rand(), torch.rand(1).item())))
    return seen


seen = {
    "nothing": drawn(lambda: None),
    "simple_evaluate": drawn(evaluated),
    "simple_evaluate without seeds": drawn(lambda: evaluated(**without)),
    "Trainer": drawn(made),
}
print(f"lm-eval {version('lm_eval')}, transformers {transformers.__version__}, accelerate {accelerate.__version__}, torch {torch.__version__}")
for between, pair in seen.items():
    print(f"  {between}: {pair}")
assert seen["nothing"][0] != seen["nothing"][1]
assert seen["simple_evaluate without seeds"][0] != seen["simple_evaluate without seeds"][1]
assert seen["simple_evaluate"] == [(0.472, 0.192, 0.029)] * 2, "an evaluation leaves the generators alone now"
assert seen["Trainer"] == [(0.639, 0.375, 0.882)] * 2, "a Trainer that is made leaves the generators alone now"
PY
cd "$work" && HF_HOME="$work/hf" HF_HUB_OFFLINE=1 TQDM_DISABLE=1 "$work/env/bin/python" -W ignore "$work/back.py" 2> >(grep -v "not a git repository" >&2)
