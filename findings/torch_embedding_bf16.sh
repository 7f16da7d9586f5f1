#!/usr/bin/env bash
# torch 2.13.0, CPU: the gradient of an embedding row in bfloat16 stops growing at 256 uses.
#
# Guess: a row of an embedding that is looked up 1,000 times, each with gradient 1, has gradient 1,000: sums of bfloat16 are
# taken in float32 and rounded once, as torch.sum takes them.
# Behaviour: the uses are added one by one in bfloat16, where 256 + 1 is 256; so it is with index_add_ and with the gradient of
# indexing by a tensor. sum, cumsum, scatter_add_ and the gradients of gather and expand are right. In a masked diffusion model the
# row of the mask token is the one that is looked up most, and of a batch of any size it gets what the first few hundred say.
# Seen: 1,000 gradients of 1 give 256 for the embedding, indexing and index_add_, 1,000 for the others; small ones (1 after
# a first of 1,000) are lost altogether.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cat > "$work/embedding.py" <<'PY'
import torch
import torch.nn.functional as F

USES = 1000
first = torch.zeros(USES, dtype=torch.long)
ones = torch.ones(USES, dtype=torch.bfloat16)
empty = torch.zeros(1, dtype=torch.bfloat16)


def gradient(look_up):
    """Gradient of a single weight that is used 1,000 times, each with gradient 1."""
    weight = torch.ones(1, 1, dtype=torch.bfloat16, requires_grad=True)
    look_up(weight).sum().backward()
    return weight.grad.item()


found = {
    "embedding": gradient(lambda w: F.embedding(first, w)),
    "indexing": gradient(lambda w: w[first]),
    "index_add_": empty.index_add(0, first, ones).item(),
    "gather": gradient(lambda w: w.gather(0, first[:, None])),
    "expand": gradient(lambda w: w.expand(USES, 1)),
    "scatter_add_": empty.scatter_add(0, first, ones).item(),
    "cumsum": ones.cumsum(0)[-1].item(),
    "sum": ones.sum().item(),
}
weight = torch.ones(1, 1, requires_grad=True)
F.embedding(first, weight).sum().backward()
print(f"torch {torch.__version__}: 1,000 times 1 in bfloat16 {found}; embedding in float32 {weight.grad.item()}")
assert all(found[name] == 256 for name in ("embedding", "indexing", "index_add_")), "they are added up otherwise now"
assert all(found[name] == USES for name in ("gather", "expand", "scatter_add_", "cumsum", "sum")), found
assert weight.grad.item() == USES

large = torch.full((USES,), 1.0, dtype=torch.bfloat16)
large[0] = 1000.0
weight = torch.ones(1, 1, dtype=torch.bfloat16, requires_grad=True)
F.embedding(first, weight).backward(large[:, None])
print(f"1,000 and then 999 times 1: {weight.grad.item()} instead of 1999")
assert weight.grad.item() == 1000, "small gradients after a large one count now"
PY
"$work/env/bin/python" "$work/embedding.py"
