#!/usr/bin/env bash
# datasets 5.2.0, torch 2.13.0, CPU: take and skip of a stream cut it elsewhere under a DataLoader with workers, and the cut rows are trained on.
#
# Guess: stream.take(n) is its first n rows and stream.skip(n) the others, as their documentation makes a validation and a training set of them:
# whoever loads them, no row is in both.
# Behaviour: in a worker n is shared out among the shards: of four rows two are taken, or skipped, from the beginning of each worker's own. Read
# without workers for the evaluation and with two for the training, the halves overlap: rows of the middle are in both, and others in
# none. With one shard, or with as many workers in both, they do not. Splitting by a field of the row (filter) is safe.
# Seen, 12 rows in 2 shards: take(4) without workers 0 1 2 3; with two 0 1 6 7; skip(4) without 4 5 … 11, with two 2 3 4 5 8 9 10 11:
# rows 2 and 3 evaluated and trained on, 6 and 7 neither.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check datasets==5.2.0 pyarrow==26.0.1 torch==2.13.0 numpy==2.4.6
cat > "$work/cut.py" <<'PY'
import datasets
from torch.utils.data import DataLoader


def rows(stream, workers):
    return sorted(int(row["row"]) for row in DataLoader(stream, batch_size=None, num_workers=workers))


def halves(shards):
    stream = datasets.Dataset.from_dict({"row": range(12)}).to_iterable_dataset(num_shards=shards)
    return {(name, n): rows(half, n) for name, half in (("take", stream.take(4)), ("skip", stream.skip(4))) for n in (0, 2)}


def shared(found):
    """Rows evaluated without workers and trained on with two, and rows that are in neither."""
    taken, trained = set(found["take", 0]), set(found["skip", 2])
    return sorted(taken & trained), sorted(set(range(12)) - taken - trained)


if __name__ == "__main__":
    two, one = halves(2), halves(1)
    print(f"datasets {datasets.__version__}, 12 rows in 2 shards: {two}")
    print(f"in both and in neither: of 2 shards {shared(two)}, of 1 shard {shared(one)}")
    assert two["take", 0] == [0, 1, 2, 3] and two["skip", 0] == list(range(4, 12))
    assert not set(two["take", 2]) & set(two["skip", 2]) and shared(one) == ([], [])
    assert shared(two) == ([2, 3], [6, 7]), "they are cut alike now"
PY
cd "$work" && HF_HOME="$work/hf" HF_HUB_OFFLINE=1 env/bin/python -W ignore cut.py
