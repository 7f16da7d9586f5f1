#!/usr/bin/env bash
# transformers 5.23.0, torch 2.13.0, CPU: positions that do not rise by one cut the row, but only without a cache.
#
# Guess: position_ids say where a token is rotated to, the mask who sees whom. A gap (a block that is decoded ahead, a prefix that is left
# out), a position twice (two drafts of one token) or a step of two leaves every token in the sight of those behind it.
# Behaviour: with use_cache=False and no attention_mask every step other than +1 counts as the begin of another text that was packed into
# the row, and nothing behind it sees what is before it: no error, no warning. A mask of ones, or use_cache=True, turns it off. So
# training (gradient checkpointing sets use_cache=False by itself) computes other logits than decoding of the same ids at the same positions.
# Seen: does the last token see the first? Plain or shifted positions: True in each way. Gap, twice, by two, backwards: with a cache True, with a
# mask of ones True, without both False; with gradient checkpointing False. Eager and sdpa alike.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check transformers==5.23.0 torch==2.13.0 numpy==2.4.6
cat > "$work/jump.py" <<'PY'
import torch
import transformers

transformers.logging.set_verbosity_error()
config = dict(
    vocab_size=50, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=4
)
row = torch.arange(8)[None]
other = torch.tensor([[9, 1, 2, 3, 4, 5, 6, 7]])  # another first token
positions = {
    "plain": [0, 1, 2, 3, 4, 5, 6, 7],
    "shifted": [5, 6, 7, 8, 9, 10, 11, 12],
    "gap": [0, 1, 2, 3, 10, 11, 12, 13],
    "twice": [0, 1, 2, 3, 3, 4, 5, 6],
    "by two": [0, 2, 4, 6, 8, 10, 12, 14],
    "backwards": [7, 6, 5, 4, 3, 2, 1, 0],
}
ways = {
    "cache": {"use_cache": True},
    "neither": {"use_cache": False},
    "mask of ones": {"use_cache": False, "attention_mask": torch.ones(1, 8, dtype=torch.long)},
}


def sees_first(model, at, **options):
    """Whether the logits of the last token depend on the first."""
    at = torch.tensor([at])
    with torch.no_grad():
        one, two = (model(ids, position_ids=at, **options).logits[0, -1] for ids in (row, other))
    return not torch.allclose(one, two, atol=1e-6)


print(f"transformers {transformers.__version__}, torch {torch.__version__}: does the last token see the first?")
for attention in ("eager", "sdpa"):
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**config, attn_implementation=attention, initializer_range=0.3))
    model.eval()
    seen = {name: {way: sees_first(model, at, **options) for way, options in ways.items()} for name, at in positions.items()}
    model.train()
    model.gradient_checkpointing_enable()
    for name, at in positions.items():
        seen[name]["checkpointing"] = sees_first(model, at)
    print(attention, seen)
    for name, found in seen.items():
        whole = name in ("plain", "shifted")
        assert found["cache"] and found["mask of ones"], name
        assert found["neither"] is found["checkpointing"] is whole, f"{name}: positions cut the row otherwise now"
PY
TQDM_DISABLE=1 TRANSFORMERS_VERBOSITY=error "$work/env/bin/python" -W ignore "$work/jump.py"
