#!/usr/bin/env bash
# lm-eval 0.4.13: an answer that looks like a Python list is another answer, and the first question of the set says which.
#
# Guess: exact_match compares what the model wrote with the text that doc_to_target: "{{answer}}" renders, question by question: "[1, 2]"
# (the output of a program, an interval, a list of names) is right for "[1, 2]".
# Behaviour: a rendered text between [ and ] is read as Python. Where the first question has such an answer, every list is several
# right answers, compared one by one, and a plain text is the list of its letters: "[1, 2]" is wrong and so is "1" (a number, not
# a text), "a" is right for "['a', 'b']" and for "abc", and "abc" is wrong. Where the first answer is no list, a list becomes the text
# that Python would print: "[1,2]" is wrong for "[1,2]" and "[1, 2]" is right. doc_to_target: answer, the column itself, does none of it.
# Seen (1 right, 0 wrong) for the questions below, their own answers given back: list first 0 0 0, plain first 1 1 0, by column all 1.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check lm_eval==0.4.13 datasets==5.2.0 pyarrow==26.0.1 numpy==2.4.6
cat > "$work/lists.py" <<'PY'
import logging
from importlib.metadata import version

import datasets
from lm_eval.api.task import ConfigurableTask

datasets.disable_progress_bars()
logging.disable(logging.WARNING)


def right(golds, answers, target="{{answer}}"):
    """The exact match of each question."""
    rows = [{"question": str(i), "answer": gold} for i, gold in enumerate(golds)]
    task = ConfigurableTask(
        config={
            "task": "lists",
            "custom_dataset": lambda **_: datasets.DatasetDict(test=datasets.Dataset.from_list(rows)),
            "test_split": "test",
            "doc_to_text": "{{question}}",
            "doc_to_target": target,
            "output_type": "generate_until",
            "generation_kwargs": {"until": ["\n"]},
            "metric_list": [{"metric": "exact_match"}],
        }
    )
    return [int(task.process_results(doc, [text])["exact_match"]) for doc, text in zip(task.test_docs(), answers, strict=True)]


lists_first, plain_first = ["[1, 2]", "abc", "['a', 'b']"], ["abc", "[1, 2]", "[1,2]"]
seen = {
    "list first": right(lists_first, lists_first),
    "list first, one part of each": right(lists_first, ["1", "a", "a"]),
    "plain first": right(plain_first, plain_first),
    "plain first, as Python prints it": right(plain_first, ["abc", "[1, 2]", "[1, 2]"]),
    "by column, list first": right(lists_first, lists_first, "answer"),
    "by column, plain first": right(plain_first, plain_first, "answer"),
}
print(f"lm-eval {version('lm_eval')}: {seen}")
assert seen["by column, list first"] == seen["by column, plain first"] == [1, 1, 1]
assert seen["list first"] == [0, 0, 0] and seen["list first, one part of each"] == [0, 1, 1], "lists are texts now"
assert seen["plain first"] == [1, 1, 0] and seen["plain first, as Python prints it"] == [1, 1, 1], "texts stay as they are now"
PY
cd "$work" && HF_HOME="$work/hf" HF_HUB_OFFLINE=1 TQDM_DISABLE=1 "$work/env/bin/python" "$work/lists.py"
