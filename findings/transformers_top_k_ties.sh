#!/usr/bin/env bash
# transformers 5.23.0, torch 2.13.0, CPU: sampling with top_k=1 is not greedy in bfloat16.
#
# Guess: generate(do_sample=True, top_k=1) leaves one token to draw from, so it is greedy decoding whatever the seed: servers that know no
# do_sample=False are asked for it in this way.
# Behaviour: top_k keeps every token whose logit is that of the k-th. Logits in bfloat16 have eight bits, so the two highest are
# often the same number, and then a coin is thrown; after the first the texts part. A temperature of 1e-6 does not help, ties stay ties.
# top_p=1e-9 keeps one token whatever the seed, the last of the highest, while greedy decoding takes the first.
# Seen: of 1,000 rows of 32,000 normal logits in bfloat16 46 have more than one highest. 60 tokens of a small random model, three seeds:
# with top_k=1 and with temperature=1e-6 two differ from greedy decoding, with top_p=1e-9 three, all alike.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check transformers==5.23.0 torch==2.13.0 numpy==2.4.6
cat > "$work/ties.py" <<'PY'
import torch
import transformers

torch.manual_seed(0)
logits = (torch.randn(1000, 32000) * 3).bfloat16().float()
left = torch.isfinite(transformers.TopKLogitsWarper(1)(None, logits)).sum(-1)
config = transformers.LlamaConfig(
    hidden_size=64,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=4,
    vocab_size=32000,
)
model = transformers.LlamaForCausalLM(config).to(torch.bfloat16).eval()


def sampled(**options):
    """Of three seeds: how many texts are not the greedy one, and how many different texts there are."""
    texts = []
    for seed in range(3):
        torch.manual_seed(seed)
        texts.append(model.generate(prompt, max_new_tokens=60, do_sample=True, pad_token_id=0, **options).tolist())
    return sum(text != greedy for text in texts), len(set(map(str, texts)))


prompt = torch.arange(5)[None]
greedy = model.generate(prompt, max_new_tokens=60, do_sample=False, pad_token_id=0).tolist()
several = int((left > 1).sum())
seen = {
    "top_k=1": sampled(top_k=1),
    "temperature=1e-6": sampled(top_k=0, temperature=1e-6),
    "top_p=1e-9": sampled(top_k=0, top_p=1e-9),
}
print(f"transformers {transformers.__version__}, torch {torch.__version__}: top_k=1 leaves several tokens in {several} of 1000 rows")
print(f"of three seeds not greedy, different: {seen}")
assert several > 10, "top_k=1 leaves one token now"
assert seen["top_k=1"][0] > 0 and seen["temperature=1e-6"][0] > 0, "top_k=1 is greedy now"
assert seen["top_p=1e-9"] == (3, 1), "top_p keeps the first of the highest now"
PY
HF_HUB_OFFLINE=1 "$work/env/bin/python" "$work/ties.py"
