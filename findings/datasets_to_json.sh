#!/usr/bin/env bash
# datasets 5.2.0, pandas 3.1.1: rows written as JSON lines keep ten decimals of a number.
#
# Guess: to_json writes a float64 so that it is read again as the same one, as json.dumps does; what JSON cannot say (NaN, infinity) is an
# error or the words that json.dumps writes.
# Behaviour: numbers are rounded to ten places behind the point: of a probability of 1e-12 remains 0.0, of its logarithm ten decimals.
# NaN and both infinities become null. double_precision=15, which is passed on to pandas, is the most there is, and does not bring all
# numbers back. to_parquet keeps everything.
# Seen: 1e-12 -> 0.0, 0.1 + 0.2 -> 0.3, 1/3 -> 0.3333333333, nan, inf, -inf -> null.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check \
  datasets==5.2.0 pandas==3.1.1 pyarrow==26.0.1 huggingface_hub==2.4.0 numpy==2.4.6
cat > "$work/rounded.py" <<'PY'
import io
import json
import math

import datasets
import pandas
import pyarrow.parquet

datasets.disable_progress_bars()
values = [1e-12, 0.1 + 0.2, 1 / 3, 2 / 3 * 1e-5, math.nan, math.inf, -math.inf]
rows = datasets.Dataset.from_dict({"p": values})


def as_json(**options):
    out = io.BytesIO()
    rows.to_json(out, **options)
    return [json.loads(line)["p"] for line in out.getvalue().splitlines()]


table = io.BytesIO()
rows.to_parquet(table)
kept = pyarrow.parquet.read_table(table)["p"].to_pylist()
seen, precise = as_json(), as_json(double_precision=15)
print(f"datasets {datasets.__version__}, pandas {pandas.__version__}, given {values}")
print(f"to_json: {seen}")
print(f"to_json(double_precision=15): {precise}")
assert kept[:4] == values[:4] and math.isnan(kept[4]) and kept[5:] == values[5:]
assert seen[:3] == [0.0, 0.3, 0.3333333333], "to_json writes every digit now"
assert seen[4:] == [None] * 3, "to_json writes what JSON cannot say otherwise now"
assert precise[:4] != values[:4], "double_precision=15 brings every number back now"
PY
cd "$work" && HF_HOME="$work/hf" "$work/env/bin/python" "$work/rounded.py"
