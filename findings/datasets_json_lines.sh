#!/usr/bin/env bash
# datasets 5.2.0: the texts of a file of JSON lines may come back as numbers, truth values, nothing or dates.
#
# Guess: load_dataset("json") gives a column of strings and numbers as what stands in the file, or says that the types differ;
# strings stay strings, so an answer "007" or "1/2" is compared as it was written.
# Behaviour: a column with both is read as JSON once more, so each string in it that is JSON becomes what it says: "007" and "0.50" are
# numbers, "true" is True, "null" and "NaN" nothing, "[1, 2]" a list; "1/2" stays. One row of numbers is enough, far away in the file.
# A column in which every string looks like a date is one of dates, until one row does not. One whole number beyond 64 bits makes
# the whole column float, and rounds those that fitted.
# Seen: "007" 7 -> 7, 7; "2020-05-01" -> datetime; 9007199254740993 beside 12345678901234567890 -> 9007199254740992.0.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check datasets==5.2.0 pyarrow==26.0.1 huggingface_hub==2.4.0
cat > "$work/lines.py" <<'PY'
import datetime
import json
import tempfile
from pathlib import Path

import datasets

datasets.disable_progress_bars()
folder = Path(tempfile.mkdtemp(dir="."))


def read(*values):
    """A column with these values in a file, as it comes back."""
    file = folder / f"{len(list(folder.iterdir()))}.jsonl"
    file.write_text("".join(json.dumps({"answer": value}) + "\n" for value in values))
    found = datasets.load_dataset("json", data_files=str(file), split="train", cache_dir=str(folder.parent / "cache"))
    return found["answer"][:]


mixed = {text: read(text, 1)[0] for text in ("007", "0.50", " 5", "true", "null", "NaN", "[1, 2]", '"x"', "1/2", "x")}
alone = read("007", "true", "null")
dates, with_another = read("2020-05-01", "2021-01-02"), read("2020-05-01", "soon")
large = read(9007199254740993, 12345678901234567890)
far = read(*["007"] * 5000, 1)[0]
print(f"datasets {datasets.__version__}")
print(f"  beside a number: {mixed}")
print(f"  without one: {alone}; 5,000 rows before one: {far!r}")
print(f"  dates: {dates}; with another text: {with_another}")
print(f"  whole numbers: {large}")
changed = {"007": 7, "0.50": 0.5, " 5": 5, "true": True, "null": None, "NaN": None, "[1, 2]": [1, 2], '"x"': "x"}
assert mixed == {**changed, "1/2": "1/2", "x": "x"}, "a column of strings and numbers is read otherwise now"
assert alone == ["007", "true", "null"] and far == 7
assert dates[0] == datetime.datetime(2020, 5, 1), "dates stay text now"
assert with_another == ["2020-05-01", "soon"]
assert large == [9007199254740992.0, 1.2345678901234567e19], "large numbers are exact now"
PY
cd "$work" && HF_HOME="$work/hf" HF_HUB_OFFLINE=1 "$work/env/bin/python" "$work/lines.py"
