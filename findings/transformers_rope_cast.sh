#!/usr/bin/env bash
# transformers 5.23.0, torch 2.13.0, CPU: a model that is cast to bfloat16 is another than the one that is loaded in bfloat16.
#
# Guess: model.to(torch.bfloat16) (or .bfloat16(), .half()) and from_pretrained(dtype=torch.bfloat16) give the same model: all weights are equal.
# Behaviour: the frequencies of the rotary positions are a buffer that no checkpoint holds. from_pretrained leaves it in float32; a cast rounds
# it to 8 bits, and position times rounded frequency is wrong by more the later the position: whole turns beyond some hundred
# tokens. Weights and short texts look right. The same happens to a float32 model that is trained and then cast to be evaluated.
# Seen, random Llama of 2 layers, mean difference of log-probabilities from float32 at positions 0-63, 256-511 and 960-1023: loaded 0.04, 0.07,
# 0.08; cast 0.05, 0.20, 0.47. Same highest token at the last: loaded 0.94, cast 0.72. All weights equal.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check transformers==5.23.0 torch==2.13.0 numpy==2.4.6
cat > "$work/cast.py" <<'PY'
import sys

import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM

transformers.logging.set_verbosity_error()
folder = sys.argv[1]
torch.manual_seed(0)
LlamaForCausalLM(
    LlamaConfig(
        vocab_size=50, hidden_size=128, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2,
        max_position_embeddings=4096, initializer_range=0.2,
    )
).save_pretrained(folder)
exact = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
models = {
    "loaded": LlamaForCausalLM.from_pretrained(folder, dtype=torch.bfloat16),
    "cast": LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).to(torch.bfloat16),
}
ids = torch.randint(0, 50, (1, 1024))
places = (slice(0, 64), slice(256, 512), slice(960, 1024))


def log_probs(model):
    with torch.no_grad():
        return model.eval()(ids).logits[0].float().log_softmax(-1)


wanted, error, same = log_probs(exact), {}, {}
for name, model in models.items():
    found = log_probs(model)
    error[name] = [round((found - wanted)[at].abs().mean().item(), 2) for at in places]
    same[name] = round((found.argmax(-1) == wanted.argmax(-1))[places[-1]].float().mean().item(), 2)
kinds = {name: model.model.rotary_emb.inv_freq.dtype for name, model in models.items()}
loaded, cast = (model.state_dict() for model in models.values())
equal = all(torch.equal(loaded[name], cast[name]) for name in loaded)
print(f"transformers {transformers.__version__}, torch {torch.__version__}: weights equal {equal}, frequencies {kinds}")
print(f"  difference {error}, same highest token {same}")
assert equal and error["loaded"][2] < 0.12 and same["loaded"] > 0.85
assert kinds == {"loaded": torch.float32, "cast": torch.bfloat16}, "the frequencies keep their kind now"
assert error["cast"][2] > 3 * error["loaded"][2] and same["cast"] < 0.85, "the cast model is as right now"
PY
TQDM_DISABLE=1 TRANSFORMERS_VERBOSITY=error "$work/env/bin/python" -W ignore "$work/cast.py" "$work/model"
