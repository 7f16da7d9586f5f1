#!/usr/bin/env bash
# pyarrow 26.0.1, datasets 5.2.0: one row of a table that goes to another process takes the whole table with it.
#
# Guess: a slice is sent as what it holds: table.slice(0, 1) has nbytes of 8, and its pickle is about as small, as that of a numpy slice is.
# Behaviour: a pickle of a slice has the buffers that it is cut from, whole, also of one batch of to_batches(). Rows handed out to workers one
# by one (multiprocessing, Ray, Prefect results) are sent as the table times the number of rows, and each worker's memory holds it. An IPC
# stream has the rows alone, and so has what take() or a copy through IPC makes. A Dataset.select([0]) in memory is pickled whole, too; ds[:1]
# is not.
# Seen, of a column of 1,000,000 int64: nbytes 8; pickled slice and batch 8.0 MB each, IPC stream under 1 kB, after take() under 1 kB, numpy
# slice under 1 kB; Dataset.select([0]) 8.0 MB.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1 datasets==5.2.0 numpy==2.4.6
cat > "$work/rows.py" <<'PY'
import io
import pickle

import datasets
import numpy
import pyarrow as pa

column = numpy.arange(1_000_000)
table = pa.table({"x": column})
one = table.slice(0, 1)
stream = io.BytesIO()
with pa.ipc.new_stream(stream, table.schema) as writer:
    writer.write_table(one)
sizes = {
    "nbytes": one.nbytes,
    "slice": len(pickle.dumps(one)),
    "batch": len(pickle.dumps(table.to_batches(max_chunksize=1)[0])),
    "IPC": len(stream.getvalue()),
    "take": len(pickle.dumps(table.take([0]))),
    "numpy": len(pickle.dumps(column[:1])),
    "Dataset.select": len(pickle.dumps(datasets.Dataset.from_dict({"x": column}).select([0]))),
}
print(f"pyarrow {pa.__version__}, datasets {datasets.__version__}, bytes: {sizes}")
assert sizes["nbytes"] == 8 and max(sizes["IPC"], sizes["take"], sizes["numpy"]) < 1024
assert min(sizes["slice"], sizes["batch"], sizes["Dataset.select"]) > 8_000_000, "pickles hold the rows of the slice alone now"
PY
HF_HUB_OFFLINE=1 "$work/env/bin/python" "$work/rows.py"
