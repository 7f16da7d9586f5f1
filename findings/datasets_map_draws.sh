#!/usr/bin/env bash
# datasets 5.2.0, torch 2.13.0, numpy 2.4.6, CPU, Linux: each process of map draws the same random numbers.
#
# Guess: map(function, num_proc=2) of a function that draws (which tokens are masked, at what time, which augmentation) gives other
# numbers to each row, as one process does; seeds decide which.
# Behaviour: the processes are forks, each with the generators of torch and numpy as they stood, so row 0 of every part has the same numbers,
# row 1 too, and so on: with 16 processes a sixteenth of the noise that there should be. The generators here do not move, so the
# next map draws it all again. Python's own random is seeded anew in each fork, whatever seed was set, and is never the same.
# Seen, 8 rows, 2 processes: torch 0.496 0.768 0.088 0.132 0.496 0.768 0.088 0.132, and once more in the second map.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check datasets==5.2.0 pyarrow==26.0.1 huggingface_hub==2.4.0 torch==2.13.0 numpy==2.4.6
cat > "$work/draws.py" <<'PY'
import random

import datasets
import numpy as np
import torch

datasets.disable_progress_bars()
LIBRARIES = ("torch", "numpy", "random")


def draw(row):
    return {"torch": torch.rand(()).item(), "numpy": np.random.rand(), "random": random.random()}


rows = datasets.Dataset.from_dict({"id": list(range(8))})


def drawn(**options):
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    first = rows.map(draw, load_from_cache_file=False, **options)
    second = rows.map(draw, load_from_cache_file=False, **options)
    return {name: (first[name][:], second[name][:]) for name in LIBRARIES}


alone, both = drawn(), drawn(num_proc=2)
different = {name: len(set(first)) for name, (first, _) in both.items()}
again = {name: first == second for name, (first, second) in both.items()}
print(f"datasets {datasets.__version__}, torch {torch.__version__}, numpy {np.__version__}")
print(f"two processes: torch {[round(x, 3) for x in both['torch'][0]]}")
print(f"different numbers in 8 rows: {different}; a second map draws the same: {again}")
assert all(len({*first, *second}) == 16 for first, second in alone.values()), "one process draws alike as well"
assert different == {"torch": 4, "numpy": 4, "random": 8}, "processes draw for themselves now"
assert again == {"torch": True, "numpy": True, "random": False}, "the generators move now"
PY
cd "$work" && HF_HOME="$work/hf" "$work/env/bin/python" "$work/draws.py"
