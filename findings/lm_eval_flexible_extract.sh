#!/usr/bin/env bash
# lm-eval 0.4.13: GSM8K's flexible-extract takes dots for the last number, and a vote counts what has no answer.
#
# Guess: flexible-extract of the task gsm8k finds the last number of the text. The majority of several samples (gsm8k_cot_self_consistency) is
# among the answers that they give.
# Behaviour: two or more digits or signs of "$,." are a number to it, digits or not, so "..." anywhere behind the answer is the last one, and a right
# text that trails off is wrong. In a vote a text without an answer counts as one for "[invalid]": four that were cut off outvote three
# that are right.
# Seen, right answer 18: "The answer is 18." 1, "The answer is 18. Let me check..." 0, "The answer is 18 ..." 0; vote of 18, 18, 18, 17 and four
# without an answer: "[invalid]".
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check lm_eval==0.4.13 datasets==5.2.0 pyarrow==26.0.1 numpy==2.4.6
cat > "$work/extract.py" <<'PY'
import logging
from importlib.metadata import version
from pathlib import Path

import datasets
import lm_eval
import yaml
from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask

datasets.disable_progress_bars()
logging.disable(logging.WARNING)
tasks = Path(lm_eval.__file__).parent / "tasks/gsm8k"
rows = [{"question": "How many?", "answer": "9 + 9 = 18\n#### 18"}]


def seen(file, filtered, *texts):
    """What that filter of that task takes from these samples of one question, and whether it is right."""
    config = yaml.safe_load((tasks / "gsm8k.yaml").read_text()) | yaml.safe_load((tasks / file).read_text())
    for name in ("tag", "include", "dataset_path", "dataset_name", "training_split", "fewshot_split", "num_fewshot"):
        config.pop(name, None)
    config["custom_dataset"] = lambda **_: datasets.DatasetDict(test=datasets.Dataset.from_list(rows))
    task = ConfigurableTask(config=config)
    (doc,) = task.test_docs()
    task._instances = [
        Instance(request_type="generate_until", doc=doc, arguments=("", {}), idx=i, resps=[text]) for i, text in enumerate(texts)
    ]
    for instance in task._instances:
        instance.doc_id = 0
    if len(texts) > 1:
        task._instances = [Instance(request_type="generate_until", doc=doc, arguments=("", {}), idx=0, resps=list(texts))]
    task.apply_filters()
    taken = task._instances[0].filtered_resps[filtered]
    return taken, int(task.process_results(doc, [taken])["exact_match"])


flexible = {
    text: seen("gsm8k.yaml", "flexible-extract", text)
    for text in ("The answer is 18.", "The answer is 18. Let me check...", "So ... it is 18", "The answer is 18 ...")
}
samples = ["The answer is 18."] * 3 + ["The answer is 17."] + ["I think", "Well,", "So she", "First,"]
votes = seen("gsm8k-cot-self-consistency.yaml", "maj@8", *samples)
print(f"lm-eval {version('lm_eval')}: {flexible}, vote {votes}")
assert flexible["The answer is 18."][1] == flexible["So ... it is 18"][1] == 1
assert flexible["The answer is 18. Let me check..."] == flexible["The answer is 18 ..."] == ("...", 0), "dots are no number now"
assert votes == ("[invalid]", 0), "what has no answer has no vote now"
PY
cd "$work" && HF_HOME="$work/hf" HF_HUB_OFFLINE=1 TQDM_DISABLE=1 "$work/env/bin/python" -W ignore "$work/extract.py"
