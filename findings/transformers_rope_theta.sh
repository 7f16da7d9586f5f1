#!/usr/bin/env bash
# transformers 5.23.0 and 4.57.6: a config.json of the one is read by the other with another base of its rotary positions.
#
# Guess: what 5 saves 4 reads as the same model, or refuses: config.json is numbers by name, and rope_theta is one of them since years.
# In 5 itself config.rope_theta = 1e6 sets it, as it did.
# Behaviour: 5 writes the base into rope_parameters and no rope_theta beside it. 4 knows no rope_parameters and takes its class's default:
# 10,000 for a Llama of 500,000 or a Qwen of 1,000,000, without a word; weights and shapes fit. Positions are then turned by other
# angles, and the model is wrong from the first tokens on. In 5 config.rope_theta reads as nothing after LlamaConfig(rope_theta=5e5), and
# setting it later changes nothing. rope_theta put back into the file by hand is read by both.
# Seen: saved with 500000; 5 reads 500000, 4 reads 10000; with rope_theta put back both read 500000.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/new"
python3 -m venv "$work/old"
"$work/new/bin/pip" install --quiet --disable-pip-version-check transformers==5.23.0
"$work/old/bin/pip" install --quiet --disable-pip-version-check transformers==4.57.6
cat > "$work/save.py" <<'PY'
import sys

from transformers import LlamaConfig, Qwen2Config

for kind in (LlamaConfig, Qwen2Config):
    config = kind(rope_theta=5e5)
    before = getattr(config, "rope_theta", None)
    config.rope_theta = 7.0
    print(f"{kind.__name__} made with 5e5, then set to 7: read {before}, in force {config.rope_parameters['rope_theta']}")
    kind(rope_theta=5e5).save_pretrained(f"{sys.argv[1]}/{kind.__name__}")
PY
cat > "$work/read.py" <<'PY'
import sys

import transformers

for kind in ("LlamaConfig", "Qwen2Config"):
    config = transformers.AutoConfig.from_pretrained(f"{sys.argv[1]}/{kind}")
    new = getattr(config, "rope_parameters", None) or {} if transformers.__version__ > "5" else {}
    print(transformers.__version__, kind, new.get("rope_theta", getattr(config, "rope_theta", None)))
PY
run() { "$work/$1/bin/python" "$work/$2" "$work/saved" 2>/dev/null; }
seen=$(
  run new save.py
  run new read.py
  run old read.py
  sed -i 's/^{$/{\n  "rope_theta": 500000.0,/' "$work"/saved/*/config.json
  echo "rope_theta put back"
  run new read.py
  run old read.py
)
expected='LlamaConfig made with 5e5, then set to 7: read None, in force 500000.0
Qwen2Config made with 5e5, then set to 7: read None, in force 500000.0
5.23.0 LlamaConfig 500000.0
5.23.0 Qwen2Config 500000.0
4.57.6 LlamaConfig 10000.0
4.57.6 Qwen2Config 10000.0
rope_theta put back
5.23.0 LlamaConfig 500000.0
5.23.0 Qwen2Config 500000.0
4.57.6 LlamaConfig 500000.0
4.57.6 Qwen2Config 500000.0'
echo "$seen"
[ "$seen" = "$expected" ] || { echo "behaves otherwise now"; exit 1; }
