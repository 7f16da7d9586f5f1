#!/usr/bin/env bash
# datasets 5.2.0, torch 2.13.0, CPU: the numbers that with_indices gives the rows of a stream are not one a row.
#
# Guess: map(function, with_indices=True) of a stream numbers its rows, as map of a table does: the number can name the row, or seed what is drawn
# for it (which tokens are masked), and no two rows have the same.
# Behaviour: whoever reads a part of the stream counts from 0: each worker of a DataLoader and each node of split_dataset_by_node. So rows of
# different parts have the same numbers, and the masks drawn from them, and a row has another number with another count of
# workers. filter with indices likewise: "every tenth row" is a tenth of each part. Read in one piece, or numbered before the table
# became a stream, each row has its own.
# Seen, numbers of rows 0 … 7 in two shards: one reader 0 1 2 3 4 5 6 7, two workers 0 1 2 3 0 1 2 3, two nodes 0 1 2 3 0 1 2 3; rows that
# filter leaves by number == 0: one, with two workers two.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check datasets==5.2.0 pyarrow==26.0.1 torch==2.13.0 numpy==2.4.6
cat > "$work/indices.py" <<'PY'
import datasets
from datasets.distributed import split_dataset_by_node
from torch.utils.data import DataLoader

stream = datasets.Dataset.from_dict({"row": range(8)}).to_iterable_dataset(num_shards=2)


def number(row, index):
    return {"number": index}


def is_first(row, index):
    return index == 0


def by_row(read):
    """The numbers in the order of the rows."""
    return [int(found["number"]) for found in sorted(read, key=lambda found: int(found["row"]))]


def workers(of, count):
    return DataLoader(of, batch_size=None, num_workers=count)


if __name__ == "__main__":
    numbered = stream.map(number, with_indices=True)
    first = stream.filter(is_first, with_indices=True)
    nodes = [row for rank in range(2) for row in split_dataset_by_node(numbered, rank, 2)]
    found = {"one reader": by_row(numbered), "two workers": by_row(workers(numbered, 2)), "two nodes": by_row(nodes)}
    left = [len(list(workers(first, count))) for count in (0, 2)]
    print(f"datasets {datasets.__version__}, numbers of rows 0 to 7: {found}")
    print(f"rows left by number == 0: {left[0]}, with two workers {left[1]}")
    assert found["one reader"] == list(range(8)) and left[0] == 1
    assert found["two workers"] == found["two nodes"] == [0, 1, 2, 3] * 2 and left[1] == 2, "rows are numbered otherwise now"
PY
cd "$work" && HF_HOME="$work/hf" HF_HUB_OFFLINE=1 env/bin/python -W ignore indices.py
