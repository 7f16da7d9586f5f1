#!/usr/bin/env bash
# transformers 5.23.0, torch 2.13.0, CPU: a mask of truth values for each pair of tokens masks nothing under eager attention.
#
# Guess: a mask of shape (batch, 1, queries, keys), as block diffusion and packed rows need it, means the same for every attention that
# a model can have: True or 1 is seen, False or 0 is not, as in a mask of shape (batch, keys).
# Behaviour: such a mask goes to the attention as it is. sdpa takes truth values as guessed; eager adds them to the scores, where True is 1 and
# False 0: everybody sees everybody, a causal model its future too, and nothing is said. Ones and zeros as floats are added by
# both; as whole numbers by eager, while sdpa raises. Only 0 and the smallest float means the same everywhere. Whoever asks for eager, as for
# attention weights, gets another model.
# Seen: does the first token see the last under a causal mask? bool: sdpa False, eager True; float ones and zeros: both True; whole numbers: sdpa
# RuntimeError, eager True; 0 and the smallest float: both False.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check transformers==5.23.0 torch==2.13.0 numpy==2.4.6
cat > "$work/mask.py" <<'PY'
import torch
import transformers

transformers.logging.set_verbosity_error()
row = torch.arange(8)[None]
other = torch.tensor([[0, 1, 2, 3, 4, 5, 6, 9]])  # another last token
causal = torch.ones(8, 8).tril()[None, None]
masks = {
    "none": None,
    "bool": causal.bool(),
    "long": causal.long(),
    "float": causal,
    "smallest": (1 - causal) * torch.finfo(torch.float32).min,
}


def sees_last(attention, mask):
    """Whether the logits of the first token depend on the last."""
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=50, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=4, attn_implementation=attention, initializer_range=0.3,
        )
    ).eval()
    try:
        with torch.no_grad():
            one, two = (model(ids, attention_mask=mask).logits[0, 0] for ids in (row, other))
    except RuntimeError:
        return "RuntimeError"
    return not torch.allclose(one, two, atol=1e-6)


seen = {attention: {name: sees_last(attention, mask) for name, mask in masks.items()} for attention in ("sdpa", "eager")}
print(f"transformers {transformers.__version__}, torch {torch.__version__}: does the first token see the last? {seen}")
assert all(found["none"] is found["smallest"] is False for found in seen.values())
assert seen["sdpa"] == {"none": False, "bool": False, "long": "RuntimeError", "float": True, "smallest": False}, "sdpa does otherwise now"
assert seen["eager"] == {"none": False, "bool": True, "long": True, "float": True, "smallest": False}, "eager does otherwise now"
PY
TQDM_DISABLE=1 TRANSFORMERS_VERBOSITY=error "$work/env/bin/python" -W ignore "$work/mask.py"
