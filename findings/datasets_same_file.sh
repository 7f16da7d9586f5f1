#!/usr/bin/env bash
# datasets 5.2.0: a file that was changed gives its old rows if its time is the old one.
#
# Guess: the cached table of a local file is named after its content, or at least after its size and time, and a generator's after what
# it reads: other content gives other rows.
# Behaviour: of a local file path and modification time count, not size or content. Whatever sets times (rsync -a, cp -p, tar, an image
# whose files are all dated alike, two checkouts moved to one path) puts another file there, and load_dataset gives the rows of the first,
# without a word. from_generator goes by the function and its arguments: a path among them, and the file may change at any time.
# A cache_dir of its own, download_mode="force_redownload" or streaming=True reads the file that is there.
# Seen: files with "one" and then "second one": load_dataset one, one; from_generator one, one; streaming the second.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check datasets==5.2.0 pyarrow==26.0.1 huggingface_hub==2.4.0
cat > "$work/same.py" <<'PY'
import json
import os
from pathlib import Path

import datasets

datasets.disable_progress_bars()
file = Path("rows.jsonl")


def put(text, time):
    file.write_text(json.dumps({"text": text}) + "\n")
    os.utime(file, (time, time))


def read(path):
    for line in Path(path).read_text().splitlines():
        yield json.loads(line)


def seen():
    options = {"data_files": str(file), "split": "train"}
    return {
        "load_dataset": datasets.load_dataset("json", **options)["text"][0],
        "streaming": next(iter(datasets.load_dataset("json", streaming=True, **options)))["text"],
        "from_generator": datasets.Dataset.from_generator(read, gen_kwargs={"path": str(file)})["text"][0],
    }


steps = []
for text, time in (("one", 1_700_000_000), ("second one", 1_700_000_000), ("third", 1_700_000_001)):
    put(text, time)
    steps.append(seen())
print(f"datasets {datasets.__version__}; one; second one, with the same time; third, with a later time:")
for step in steps:
    print(step)
assert [step["streaming"] for step in steps] == ["one", "second one", "third"]
assert [step["load_dataset"] for step in steps] == ["one", "one", "third"], "more than the time of a file counts now"
assert [step["from_generator"] for step in steps] == ["one", "one", "one"], "a generator is run again now"
PY
cd "$work" && HF_HOME="$work/hf" "$work/env/bin/python" "$work/same.py"
