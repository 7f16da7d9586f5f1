#!/usr/bin/env bash
# torch 2.13.0, CPU: a checkpointed layer that draws from a generator of its own has the gradient of other draws.
#
# Guess: torch.utils.checkpoint computes a layer again for its gradient as it was computed before, random numbers included: preserve_rng_state is
# there for it and is on. Or it says that the second computation is not the first, as it does when shapes differ.
# Behaviour: what is put back are the default generators. A torch.Generator that the layer draws from (for masks, noise levels or noise that
# are to be the same on every machine) goes on, so the second computation has other numbers: the loss is that of one mask and the gradient
# that of another, with use_reentrant True and False, no error. Whatever else the layer draws from (numpy, random) does the same. Drawn in
# front of the checkpointed part and handed in, or from the default generator, they are the same.
# Seen, gradients of 1,000 inputs of which a mask keeps half, of another mask than the outputs: own generator 489, numpy 502, default
# generator 0, own generator in front of it 0; use_reentrant makes no difference.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cat > "$work/again.py" <<'PY'
import numpy as np
import torch
from torch.utils.checkpoint import checkpoint

SIZE = 1000
own = torch.Generator()


def from_own(size):
    return torch.rand(size, generator=own)


def from_numpy(size):
    return torch.from_numpy(np.random.random(size)).float()


def wrong_places(draw, reentrant, early=False):
    """Inputs whose gradient says something else than the mask that their output shows."""
    torch.manual_seed(0)
    np.random.seed(0)
    own.manual_seed(0)
    x = torch.ones(SIZE, requires_grad=True)

    def layer(x, noise=None):
        return x * ((draw(SIZE) if noise is None else noise) < 0.5)

    y = checkpoint(layer, x, *([draw(SIZE)] if early else []), use_reentrant=reentrant)
    y.sum().backward()
    return int((x.grad != y.detach()).sum())


ways = {
    "own generator": (from_own,),
    "numpy": (from_numpy,),
    "default generator": (torch.rand,),
    "own, drawn before": (from_own, True),
}
found = {
    name: [wrong_places(draw, reentrant, *early) for reentrant in (True, False)] for name, (draw, *early) in ways.items()
}
print(f"torch {torch.__version__}: of {SIZE} gradients those of another mask (use_reentrant True, False): {found}")
assert found["default generator"] == found["own, drawn before"] == [0, 0]
assert min(found["own generator"] + found["numpy"]) > 400, "the same numbers are drawn again now"
PY
"$work/env/bin/python" "$work/again.py"
