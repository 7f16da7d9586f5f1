#!/usr/bin/env bash
# pyarrow 26.0.1, datasets 5.2.0: a list of records keeps the keys of its first record alone.
#
# Guess: a table made of records has the union of their keys, with nulls where one is missing: a field that only some
# rows have (tests, a rationale, a second answer) is there for those that have it. pandas does so.
# Behaviour: pyarrow.Table.from_pylist and datasets.Dataset.from_list take the columns from the first record; a key that
# comes later is dropped without a word. The other way round, a key that later records lack, becomes null. The reader of
# JSON lines takes the union, so the same records differ by the way they come in.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1 datasets==5.2.0
cat > "$work/records.py" <<'PY'
import io
import json

import datasets
import pandas
import pyarrow as pa
import pyarrow.json

records = [{"question": "1 + 1", "answer": "2"}, {"question": "2 + 2", "answer": "4", "tests": "assert f() == 4"}]
lines = "\n".join(map(json.dumps, records)).encode()
found = {
    "pyarrow.Table.from_pylist": pa.Table.from_pylist(records).column_names,
    "pyarrow.Table.from_pylist, reversed": pa.Table.from_pylist(records[::-1]).column_names,
    "datasets.Dataset.from_list": datasets.Dataset.from_list(records).column_names,
    "pyarrow.json.read_json": pyarrow.json.read_json(io.BytesIO(lines)).column_names,
    "pandas.DataFrame": list(pandas.DataFrame(records).columns),
}
print(f"pyarrow {pa.__version__}, datasets {datasets.__version__}")
for name, columns in found.items():
    print(f"  {name}: {columns}")
for name in ("pyarrow.Table.from_pylist", "datasets.Dataset.from_list"):
    assert found[name] == ["question", "answer"], f"{name} keeps later keys now"
for name in ("pyarrow.Table.from_pylist, reversed", "pyarrow.json.read_json", "pandas.DataFrame"):
    assert sorted(found[name]) == ["answer", "question", "tests"], name
PY
"$work/env/bin/python" "$work/records.py"
