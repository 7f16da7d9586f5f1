#!/usr/bin/env bash
# datasets 5.2.0: what a function does to the row that it is given is saved by map, and forgotten by map of a stream and by filter.
#
# Guess: map takes what the function returns; a row that is changed on the way is a copy. A table and the stream of it give the same rows.
# Behaviour: map of a table merges what is returned into the very row that the function had, so a column that it lowered, cut or popped for its
# own use is changed, or gone, in the result, with batched=True as well. map of a stream merges into the row as it was. So the same
# function makes other training data in the two, though it returns the same.
# Seen, function that strips text in place, pops answer and returns a length: table {"text": "x", "length": 1}, stream
# {"text": " x ", "answer": 7, "length": 1}; filter keeps " x " and 7.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check datasets==5.2.0 pyarrow==26.0.1 numpy==2.4.6
cat > "$work/place.py" <<'PY'
import datasets

datasets.disable_progress_bars()
table = datasets.Dataset.from_list([{"text": " x ", "answer": 7}])
stream = table.to_iterable_dataset()


def length(row):
    row["text"] = row["text"].strip()
    row.pop("answer")
    return {"length": len(row["text"])}


def lengths(rows):
    rows["text"] = [text.strip() for text in rows["text"]]
    rows.pop("answer")
    return {"length": [len(text) for text in rows["text"]]}


def keep(row):
    return length(row)["length"] > 0


found = {
    "table": table.map(length)[0],
    "table, batched": table.map(lengths, batched=True)[0],
    "stream": next(iter(stream.map(length))),
    "stream, batched": next(iter(stream.map(lengths, batched=True))),
    "filter": table.filter(keep)[0],
}
print(f"datasets {datasets.__version__}: {found}")
changed, whole = {"text": "x", "length": 1}, {"text": " x ", "answer": 7, "length": 1}
assert found["table"] == found["table, batched"] == changed, "a table forgets it now"
assert found["stream"] == found["stream, batched"] == whole, "a stream saves it now"
assert found["filter"] == table[0] == {"text": " x ", "answer": 7}
PY
cd "$work" && HF_HOME="$work/hf" HF_HUB_OFFLINE=1 env/bin/python -W ignore place.py
