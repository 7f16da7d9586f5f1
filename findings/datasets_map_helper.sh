#!/usr/bin/env bash
# datasets 5.2.0: map and filter give the result of yesterday's code if the code lies in a module.
#
# Guess: the name of a cached result is a hash of the function with all that it calls, so a change of the code is computed anew: it
# is so in a script or a notebook, where a function is hashed by its content.
# Behaviour: a function of an imported module is hashed by its name. After an edit of that module the old rows come back in a new
# process, without a word; also through a lambda that calls it, a partial of it, and for filter. An answer extractor or a
# prompt template that is mended in a module changes nothing until the cache is deleted, or load_from_cache_file=False.
# Seen: a module that says 1, then 2: map 1 1, lambda 1 1, filter keeps what it kept; a function of the script itself 1 2.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check datasets==5.2.0 pyarrow==26.0.1 huggingface_hub==2.4.0
cat > "$work/run.py" <<'PY'
import json
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import functools
import json

import datasets
import helper

datasets.disable_progress_bars()
rows = datasets.load_dataset("json", data_files="rows.jsonl", split="train", cache_dir="cache")


def own(row):
    return {"said": VERSION}


print(json.dumps({
    "map": rows.map(helper.said)[0]["said"],
    "lambda": rows.map(lambda row: helper.said(row))[0]["said"],
    "partial": rows.map(functools.partial(helper.said))[0]["said"],
    "filter": rows.filter(helper.is_first).num_rows,
    "own": rows.map(own)[0]["said"],
    "not cached": rows.map(helper.said, load_from_cache_file=False)[0]["said"],
}))
"""
HELPER = "def said(row):\n    return {'said': VERSION}\n\n\ndef is_first(row):\n    return VERSION == 1\n"


def run(version):
    """What a new process says after the module and the script were edited."""
    for name, text in (("helper.py", HELPER), ("script.py", SCRIPT)):
        Path(name).write_text(text.replace("VERSION", str(version)))
    command = [sys.executable, "-B", "script.py"]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


Path("rows.jsonl").write_text('{"number": 1}\n')
first, second = run(1), run(2)
print(f"datasets of a module that says 1: {first}")
print(f"after it was edited to say 2:     {second}")
assert first == {"map": 1, "lambda": 1, "partial": 1, "filter": 1, "own": 1, "not cached": 1}
assert second == {"map": 1, "lambda": 1, "partial": 1, "filter": 1, "own": 2, "not cached": 2}, "modules are read now"
PY
cd "$work" && HF_HOME="$work/hf" HF_HUB_OFFLINE=1 "$work/env/bin/python" "$work/run.py"
