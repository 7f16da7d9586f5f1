#!/usr/bin/env bash
# lm-eval 0.4.13: where punctuation is ignored, so are minus signs and decimal points: on MGSM -5 is 5, and 1.25 is 125.
#
# Guess: ignore_punctuation: true of exact_match (some two hundred task files have it, those of MGSM, TriviaQA, NQ-open and MMLU-Pro among
# them) forgives a dot at the end, quotes, a dollar sign; a number stays the number that it is.
# Behaviour: every character of ASCII that is no letter, digit or space is deleted on both sides, wherever it stands: the minus, the point, the
# slash, a bracket. Wrong numbers are right, and a right one with its cents is wrong (18.00 is 1800). An answer that is nothing but
# signs is empty, so all brackets, operators and comparisons are the same. Spaces stay.
# Seen, MGSM's flexible-extract (1 right): 5 for "It is -5." 1, 125 for "It costs $1.25" 1, 18 for "It is 18." 1, 18 for "It costs $18.00" 0;
# exact_match: (1/2, 12) 1, (<=, >) 1, (x^2, x2) 1.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check lm_eval==0.4.13 datasets==5.2.0 pyarrow==26.0.1 numpy==2.4.6
cat > "$work/punctuation.py" <<'PY'
import logging
from importlib.metadata import version
from pathlib import Path

import datasets
import lm_eval
import yaml
from lm_eval.api.instance import Instance
from lm_eval.api.metrics import exact_match_hf_evaluate
from lm_eval.api.task import ConfigurableTask

datasets.disable_progress_bars()
logging.disable(logging.WARNING)
folder = Path(lm_eval.__file__).parent / "tasks/mgsm/direct"


def right(gold, text):
    """MGSM's flexible-extract: what it takes from that answer, and whether it is right."""
    rows = [{"question": "How many?", "answer": None, "answer_number": gold}]
    config = yaml.safe_load((folder / "direct_yaml").read_text()) | yaml.safe_load((folder / "mgsm_direct_en.yaml").read_text())
    for name in ("tag", "include", "dataset_path", "dataset_name", "training_split"):
        config.pop(name, None)
    config["custom_dataset"] = lambda **_: datasets.DatasetDict(test=datasets.Dataset.from_list(rows))
    task = ConfigurableTask(config=config)
    (doc,) = task.test_docs()
    instance = Instance(request_type="generate_until", doc=doc, arguments=("", {}), idx=0, resps=[text])
    instance.doc_id = 0
    task._instances = [instance]
    task.apply_filters()
    taken = instance.filtered_resps["flexible-extract"]
    return taken, int(task.process_results(doc, [taken])["exact_match"])


def same(one, other):
    return int(exact_match_hf_evaluate(predictions=[one], references=[other], ignore_punctuation=True)["exact_match"])


given = [(18, "It is 18."), (5, "It is -5."), (125, "It costs $1.25"), (18, "It costs $18.00"), (6, "It is 5.")]
seen = {pair: right(*pair) for pair in given}
pairs = {pair: same(*pair) for pair in [("1/2", "12"), ("<=", ">"), ("x^2", "x2"), ("(1, 2)", "1 2"), ("1,2", "1 2")]}
print(f"lm-eval {version('lm_eval')}, MGSM: {seen}; exact_match with ignore_punctuation: {pairs}")
assert [hit for _, hit in seen.values()] == [1, 1, 1, 0, 0], "signs and points of numbers count now"
assert list(pairs.values()) == [1, 1, 1, 1, 0], "punctuation is ignored elsewhere now"
PY
cd "$work" && HF_HOME="$work/hf" HF_HUB_OFFLINE=1 TQDM_DISABLE=1 "$work/env/bin/python" -W ignore "$work/punctuation.py"
