#!/usr/bin/env bash
# torch 2.13.0, CPU: all_reduce over gloo of a slice of columns sums up other numbers.
#
# Guess: dist.all_reduce(table[:, :2]) sums these columns over the processes, in place, or refuses a tensor that is not contiguous.
# Behaviour: it takes as many numbers as the slice has from where the slice begins, as they lie in memory. So the first rows of the whole table,
# columns that were not given among them, are summed, and the last rows are left as they were: no error, no warning. broadcast copies
# the wrong numbers in the same way. A transposed table is right, as sums do not ask for the order. contiguous() and a copy back are right.
# Seen, two processes with a table of 3 x 4 ones, first two columns: rows 2 2 2 2, 2 2 1 1, 1 1 1 1; expected 2 2 1 1 in each.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cat > "$work/slices.py" <<'PY'
import sys

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def table(rank=0):
    return torch.full((3, 4), float(rank + 1))


def main(rank, file):
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
    summed = torch.ones(3, 4)
    dist.all_reduce(summed[:, :2])
    sent = torch.full((3, 4), float(rank))  # zeros in process 0, ones in process 1
    dist.broadcast(sent[:, :2], src=0)
    turned = torch.arange(6.0).reshape(2, 3).t()
    dist.all_reduce(turned)
    whole = torch.ones(3, 4)
    part = whole[:, :2].contiguous()
    dist.all_reduce(part)
    whole[:, :2] = part
    if rank == 1:
        print(f"torch {torch.__version__}, sum of two processes, columns 0 and 1: {summed.tolist()}")
        print(f"broadcast of zeros over ones: {sent.tolist()}; summed by a copy: {whole.tolist()}")
        assert turned.tolist() == [[0, 6], [2, 8], [4, 10]] and whole.tolist() == [[2, 2, 1, 1]] * 3
        assert summed.tolist() == [[2, 2, 2, 2], [2, 2, 1, 1], [1, 1, 1, 1]], "slices are summed right now"
        assert sent.tolist() == [[0, 0, 0, 0], [0, 0, 1, 1], [1, 1, 1, 1]], "slices are sent right now"
    dist.destroy_process_group()


if __name__ == "__main__":
    mp.spawn(main, (sys.argv[1],), nprocs=2)
PY
"$work/env/bin/python" -W ignore "$work/slices.py" "$work/meet"
