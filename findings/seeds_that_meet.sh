#!/usr/bin/env bash
# torch 2.13.0 (CPU), numpy 2.4.6: different seeds that give the same numbers.
#
# Guess: seeds that a library takes and keeps apart, two numbers of 64 bits or two lists of numbers, begin different streams: so
# a hash of (seed, problem) or the list [seed, epoch] can be the seed of what is drawn for it.
# Behaviour: torch's generator on a CPU looks at the lowest 32 bits alone, while initial_seed() says the whole number. numpy fills
# a list up with zeros to four words, so [7], [7, 0], [7, 0, 0] and 7 are one seed: epoch 0 of [seed, epoch] draws what [seed] drew.
# A number of 64 bits is two words, so 5 + 2**32 is [5, 1]. Five words are another seed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cat > "$work/seeds.py" <<'PY'
import numpy as np
import torch


def of_torch(seed):
    generator = torch.Generator().manual_seed(seed)
    assert generator.initial_seed() == seed
    return torch.rand(4, generator=generator).tolist()


def of_numpy(seed):
    return np.random.default_rng(seed).random(4).tolist()


by_torch = {seed: of_torch(seed) == of_torch(5) for seed in (5 + 2**32, 5 + 2**63, 6)}
seeds = {"[7]": [7], "[7, 0]": [7, 0], "[7, 0, 0, 0]": [7, 0, 0, 0], "[7, 0, 0, 0, 0]": [7, 0, 0, 0, 0], "[7, 1]": [7, 1]}
by_numpy = {name: of_numpy(seed) == of_numpy(7) for name, seed in seeds.items()}
words = of_numpy(5 + 2**32) == of_numpy([5, 1])
print(f"torch {torch.__version__}, the numbers of seed 5: {by_torch}")
print(f"numpy {np.__version__}, the numbers of seed 7: {by_numpy}; 5 + 2**32 and [5, 1] alike: {words}")
assert by_torch == {5 + 2**32: True, 5 + 2**63: True, 6: False}, "torch reads other bits of a seed now"
assert list(by_numpy.values()) == [True, True, True, False, False], "numpy keeps these lists apart now"
assert words, "numpy keeps a large number and its words apart now"
PY
"$work/env/bin/python" "$work/seeds.py"
