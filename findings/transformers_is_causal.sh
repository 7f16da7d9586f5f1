#!/usr/bin/env bash
# transformers 5.23.0, torch 2.13.0, CPU: attention made bidirectional layer by layer is causal again as soon as a batch is padded.
#
# Guess: self_attn.is_causal = False on every layer of a decoder lets each token see the whole row, as it is used to make diffusion or
# embedding models of causal ones: with sdpa and with eager attention, alone and in a padded batch.
# Behaviour: with sdpa it counts only where there is no mask at all, so a row alone, or in a batch without padding, is bidirectional;
# one padded row beside it and the mask that is built is causal for all. With eager attention it never counts. is_causal=False in the
# config is right everywhere.
# Seen: does the first token see the last? Layers, sdpa: alone True, a mask of ones True, padded batch False; eager: False throughout;
# config: True throughout.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 transformers==5.23.0
cat > "$work/causal.py" <<'PY'
import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

ROW, OTHER, SHORT = [1, 2, 3, 4], [1, 2, 3, 5], [6, 7, 0, 0]
SHAPE = {
    "vocab_size": 20,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
}


def sees(config_class, model_class, attention, where):
    """Whether the first token sees the last: alone, with a mask of ones, beside a padded row."""
    torch.manual_seed(0)
    config = config_class(**SHAPE, attn_implementation=attention)
    if where == "config":
        config.is_causal = False
    model = model_class(config).eval()
    if where == "layers":
        for layer in model.model.layers:
            layer.self_attn.is_causal = False

    def differs(rows, others, mask=None):
        logits = [model(torch.tensor(ids), attention_mask=mask, use_cache=False).logits[0, 0] for ids in (rows, others)]
        return not torch.allclose(*logits)

    ones, padded = torch.ones(1, 4, dtype=torch.long), torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    return [differs([ROW], [OTHER]), differs([ROW], [OTHER], ones), differs([ROW, SHORT], [OTHER, SHORT], padded)]


expected = {
    ("layers", "sdpa"): [True, True, False],
    ("layers", "eager"): [False, False, False],
    ("config", "sdpa"): [True, True, True],
    ("config", "eager"): [True, True, True],
}
with torch.no_grad():
    for classes in ((LlamaConfig, LlamaForCausalLM), (Qwen2Config, Qwen2ForCausalLM)):
        found = {(where, attention): sees(*classes, attention, where) for where, attention in expected}
        print(f"transformers {transformers.__version__}, {classes[1].__name__}: alone, ones, padded: {found}")
        assert found == expected, f"expected {expected}"
PY
"$work/env/bin/python" "$work/causal.py"
