#!/usr/bin/env bash
# pyarrow 26.0.1, datasets 5.2.0: the first file of several decides what the values of the others are.
#
# Guess: a column that is a number in one file and a text or a truth value in the next is an error, or becomes what holds both, as within one
# file; a column that only a later file has is there for its rows.
# Behaviour: values of later files are converted to the type of the first: a 2 after truth values is True, a text "007" after numbers 7, a
# date among texts of JSON "2024-01-01 00:00:00", silently as long as they can be; "x" after numbers, or 2.5 after whole ones, is an
# error. In pyarrow's read_table of a folder a column that the first file lacks is dropped; datasets refuses it. Whoever adds a shard to
# a folder whose name sorts first changes the rows of all others.
# Seen, rows of the second file: Parquet, pyarrow and datasets: True for 2, 7 for "007", "2" for 2; JSON lines, datasets: True, 7, "2".
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1 datasets==5.2.0 huggingface_hub==2.4.0
cat > "$work/second.py" <<'PY'
import json
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

datasets.disable_progress_bars()


def of_second(case, first, second):
    """The value of the second file by each of the readers."""
    folder = Path(f"{case}")
    folder.mkdir()
    for name, row in (("0", first), ("1", second)):
        pq.write_table(pa.Table.from_pylist([row]), folder / f"{name}.parquet")
        (folder / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    tables, lines = (sorted(map(str, folder.glob(f"*.{kind}"))) for kind in ("parquet", "jsonl"))
    return {
        "pyarrow": pq.read_table(tables).to_pylist()[1],
        "datasets parquet": datasets.load_dataset("parquet", data_files=tables, split="train")[1],
        "datasets json": datasets.load_dataset("json", data_files=lines, split="train")[1],
    }


seen = {
    "truth": of_second("truth", {"a": True}, {"a": 2}),
    "number": of_second("number", {"a": 1}, {"a": "007"}),
    "text": of_second("text", {"a": "x"}, {"a": 2}),
}
date = of_second("date", {"a": "x"}, {"a": "2024-01-01"})
pq.write_table(pa.table({"a": [1]}), "0.parquet")
pq.write_table(pa.table({"a": [2], "b": ["late"]}), "1.parquet")
late = pq.read_table(["0.parquet", "1.parquet"]).column_names
print(f"pyarrow {pa.__version__}, datasets {datasets.__version__}, the row of the second file:")
for case, found in (seen | {"date": date}).items():
    print(f"{case}: {found}")
print(f"columns where the second file has b as well: {late}")
wanted = {"truth": {"a": True}, "number": {"a": 7}, "text": {"a": "2"}}
assert all(row == wanted[case] for case, found in seen.items() for row in found.values()), "values stay as they are now"
assert date["pyarrow"] == {"a": "2024-01-01"} and date["datasets json"] == {"a": "2024-01-01 00:00:00"}
assert late == ["a"], "a later column is kept now"
PY
cd "$work" && HF_HOME="$work/hf" "$work/env/bin/python" "$work/second.py"
