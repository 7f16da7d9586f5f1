#!/usr/bin/env bash
# lm-eval 0.4.13: a cache of answers gives one model's to another, and one sample for all.
#
# Guess: --use_cache FILE keeps answers by model, prompt and settings: a second model, or the same with another adapter or threshold, is
# asked for its own. Of eight samples a question (repeats) the eight are kept, or, as the message for do_sample says, none.
# Behaviour: an answer is found by its prompt and its generation settings alone, so a second model with the same file is asked nothing and gets
# the first one's score. Samples are left out of the cache only where the task says do_sample: true. With a temperature alone, or with
# a model whose own arguments say how it draws (as those of diffusion models do), the first run draws eight and keeps the last of them,
# and the next run has it eight times: pass@k and votes over samples are those of one.
# Seen, 2 questions with 4 samples: first run 1 2 3 4 and 5 6 7 8, second run 4 4 4 4 and 8 8 8 8, another model the same; none asked.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check lm_eval==0.4.13 datasets==5.2.0 pyarrow==26.0.1 numpy==2.4.6
cat > "$work/kept.py" <<'PY'
import itertools
import logging
from importlib.metadata import version

import datasets
import lm_eval
from lm_eval.api.model import LM, CachingLM
from lm_eval.api.task import ConfigurableTask

datasets.disable_progress_bars()
logging.disable(logging.WARNING)


class Counting(LM):
    """A model whose answers are a name and the number of the request."""

    def __init__(self, name):
        super().__init__()
        self.name, self.numbers, self.asked = name, itertools.count(1), 0

    def generate_until(self, requests, disable_tqdm=False):
        self.asked += len(requests)
        return [f"{self.name}{next(self.numbers)}" for _ in requests]

    def loglikelihood(self, requests):
        raise NotImplementedError

    loglikelihood_rolling = loglikelihood


def answers(name, settings, file):
    """Each question's samples, and how many the model was asked for."""
    rows = [{"question": "one"}, {"question": "two"}]
    task = ConfigurableTask(
        config={
            "task": "samples",
            "custom_dataset": lambda **_: datasets.DatasetDict(test=datasets.Dataset.from_list(rows)),
            "test_split": "test",
            "doc_to_text": "{{question}}",
            "doc_to_target": "{{question}}",
            "output_type": "generate_until",
            "generation_kwargs": {"until": ["\n"], **settings},
            "repeats": 4,
            "filter_list": [{"name": "all", "filter": [{"function": "take_first_k", "k": 4}]}],
            "metric_list": [{"metric": "bypass"}],
        }
    )
    model = Counting(name)
    found = lm_eval.evaluate(lm=CachingLM(model, file), task_dict={"samples": task}, bootstrap_iters=0, log_samples=True)
    return [sample["resps"][0] for sample in found["samples"]["samples"]], model.asked


seen = {}
for way, settings in (("temperature", {"temperature": 0.7}), ("do_sample", {"temperature": 0.7, "do_sample": True})):
    for run, name in (("first", "a"), ("second", "a"), ("another model", "b")):
        seen[way, run] = answers(name, settings, f"{way}.db")
print(f"lm-eval {version('lm_eval')}")
for (way, run), found in seen.items():
    print(f"{way}, {run} run: {found}")
once = [["a1", "a2", "a3", "a4"], ["a5", "a6", "a7", "a8"]]
kept = [["a4"] * 4, ["a8"] * 4]
assert seen["temperature", "first"] == (once, 8)
assert seen["temperature", "second"] == (kept, 0), "each sample is kept now"
assert seen["temperature", "another model"] == (kept, 0), "another model is asked now"
assert seen["do_sample", "second"] == (once, 8) and seen["do_sample", "another model"][1] == 8
PY
cd "$work" && HF_HOME="$work/hf" HF_HUB_OFFLINE=1 TQDM_DISABLE=1 "$work/env/bin/python" "$work/kept.py"
