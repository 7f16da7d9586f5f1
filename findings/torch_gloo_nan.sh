#!/usr/bin/env bash
# torch 2.13.0, CPU: over gloo the largest of several losses is NaN only if process 0 has it, and a sum for process 0 changes the others' tensors.
#
# Guess: dist.all_reduce(loss, MAX) is NaN where any process has NaN, as torch.max and torch.maximum are, so that all of them see a run that broke.
# dist.reduce(loss, dst=0) gives process 0 the sum and leaves the tensors of the others alone.
# Behaviour: over gloo NaN of process 0 reaches all, NaN of any other is replaced by the largest of the rest, on that process too: it is told that
# its own loss is a number. MIN likewise; SUM keeps NaN. reduce writes sums of some of the processes into the tensors of the others, so a
# loss that is logged by reduce and then used is another number there.
# Seen, three processes with 1, NaN in one of them: in 0 nan nan nan, in 1 or 2: 1 1 1. reduce to 0 of 1, 2, 3: 6, 5, 3.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cat > "$work/largest.py" <<'PY'
import math
import sys

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def of_all(value):
    """The value in each process."""
    found = [None] * 3
    dist.all_gather_object(found, value)
    return found


def with_nan(rank, where, operation):
    """What each process has if the one called ``where`` had NaN."""
    value = torch.full((4,), math.nan if rank == where else 1.0)
    dist.all_reduce(value, op=operation)
    return of_all(str(value[0].item()))


def main(rank, file):
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=3)
    operations = {"max": dist.ReduceOp.MAX, "min": dist.ReduceOp.MIN, "sum": dist.ReduceOp.SUM}
    found = {(name, where): with_nan(rank, where, by) for name, by in operations.items() for where in range(3)}
    loss = torch.tensor([rank + 1.0])
    dist.reduce(loss, dst=0)
    left = of_all(loss.item())
    if rank == 0:
        print(f"torch {torch.__version__}, three processes, NaN in one of them: {found}")
        print(f"reduce of 1, 2, 3 to process 0: {left}")
        for name in ("max", "min"):
            assert found[name, 0] == ["nan"] * 3, found
            assert found[name, 1] == found[name, 2] == ["1.0"] * 3, "NaN is kept now"
        assert all(found["sum", where] == ["nan"] * 3 for where in range(3))
        assert left[0] == 6 and left[1:] != [2, 3], "the others keep their tensors now"
    dist.destroy_process_group()


if __name__ == "__main__":
    mp.spawn(main, (sys.argv[1],), nprocs=3)
PY
"$work/env/bin/python" -W ignore "$work/largest.py" "$work/meet"
