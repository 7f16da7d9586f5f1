#!/usr/bin/env bash
# datasets 5.2.0, numpy 2.4.6: in numpy's format a batch has other numbers than its rows.
#
# Guess: with_format("numpy") gives arrays of the types of the columns: float64 stays float64, uint64 stays uint64, one row or many. That
# float32 is torch's default concerns torch's format.
# Behaviour: one row has the numbers as they are. In a batch (a slice, a column, iter(batch_size), map(batched=True)) every kind of float is float32
# and every kind of whole number int64: 1e-50 is 0, 1e300 infinity, a seed or hash of 64 bits negative. Lists (log-probabilities of an
# answer) are so in single rows, too. map(batched=True) then writes what it read: into a new column as float32, into the old one
# as a float64 with what is left. dtype=numpy.float64 makes floats of everything. The formats arrow and pandas keep all.
# Seen: row 1e-50 and 2**63 + 5, batch 0.0 and -(2**63 - 5); 2**24 + 1 as row 16777217.0, as batch 16777216.0; list [1e-50] as row [0.0].
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check \
  datasets==5.2.0 pandas==3.1.1 pyarrow==26.0.1 huggingface_hub==2.4.0 numpy==2.4.6
cat > "$work/batch.py" <<'PY'
import datasets
import numpy as np
import pyarrow as pa

datasets.disable_progress_bars()
columns = {
    "seed": pa.array([2**63 + 5, 1], pa.uint64()),
    "p": pa.array([1e-50, 0.1]),
    "count": pa.array([2.0**24 + 1, 1e300]),
    "logs": pa.array([[1e-50], [0.1]]),
}
plain = datasets.Dataset(pa.table(columns))
rows = plain.with_format("numpy")
with np.errstate(over="ignore"):
    row, batch = rows[0], rows[:]
    (streamed,) = rows.iter(batch_size=2)
    mapped = rows.map(lambda batch: {"p": batch["p"], "copy": batch["p"]}, batched=True)
first = {name: (row[name], batch[name][0]) for name in columns}
print(f"datasets {datasets.__version__}, numpy {np.__version__}, the first row alone and in a batch: {first}")
print(f"types of a batch: { {name: str(batch[name].dtype) for name in columns} }; after map: {mapped.features}")
assert (row["seed"], row["p"], row["count"]) == (2**63 + 5, 1e-50, 2.0**24 + 1)
assert batch["seed"].tolist() == [-(2**63 - 5), 1], "uint64 stays uint64 now"
assert batch["p"].dtype == streamed["p"].dtype == np.float32 and batch["p"][0] == 0, "float64 stays float64 now"
assert batch["count"].tolist() == [2.0**24, float("inf")] and row["logs"][0] == 0
assert mapped.features["copy"].dtype == "float32" and mapped.features["p"].dtype == "float64"
assert mapped.with_format(None)["p"][:] == [0.0, float(np.float32(0.1))], "map writes what was there now"
pandas = plain.with_format("pandas")[:]
assert pandas["p"].tolist() == [1e-50, 0.1] and pandas["seed"].tolist() == [2**63 + 5, 1]
PY
cd "$work" && HF_HOME="$work/hf" "$work/env/bin/python" "$work/batch.py"
