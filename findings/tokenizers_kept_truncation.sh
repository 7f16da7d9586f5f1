#!/usr/bin/env bash
# transformers 5.23.0, tokenizers 0.23.3: what a tokenizer was last called with is saved with it.
#
# Guess: truncation and padding are arguments of a call; save_pretrained afterwards writes the tokenizer as it was loaded.
# Behaviour: a call sets them on the tokenizer inside and leaves them there until a call without, so tokenizer.json holds the
# max_length and padding of the last batch. transformers ignores them when it loads the file. Whatever reads it with the tokenizers
# library itself (servers in Rust, data loaders) cuts and pads every text to that length.
# Seen: a text of 8 words, after a call with max_length=4: 8 tokens by transformers, 4 by tokenizers.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check transformers==5.23.0 tokenizers==0.23.3
cat > "$work/kept.py" <<'PY'
import json
import os
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import tokenizers
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import AutoTokenizer, PreTrainedTokenizerFast

TEXT = "a b c d e f g h"


def made():
    words = Tokenizer(WordLevel({"<pad>": 0, **{word: i for i, word in enumerate(TEXT.split(), 1)}}))
    words.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>")


def lengths_after(*calls):
    """Tokens of ``TEXT`` from the saved folder, by transformers and by tokenizers, and what tokenizer.json says of both."""
    tokenizer = made()
    for options in calls:
        tokenizer(TEXT, **options)
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        file = Path(folder, "tokenizer.json")
        kept = json.loads(file.read_text())
        by_transformers = len(AutoTokenizer.from_pretrained(folder)(TEXT).input_ids)
        by_tokenizers = len(Tokenizer.from_file(str(file)).encode(TEXT).ids)
        return by_transformers, by_tokenizers, bool(kept["truncation"]), bool(kept["padding"])


short, long = (
    {"truncation": True, "max_length": 4, "padding": "max_length"},
    {"padding": "max_length", "max_length": 12},
)
found = {
    "no call": lengths_after(),
    "max_length=4": lengths_after(short),
    "padded to 12": lengths_after(long),
    "max_length=4, then a plain call": lengths_after(short, {}),
}
print(f"transformers {transformers.__version__}, tokenizers {tokenizers.__version__}: length by each, kept truncation, padding")
for name, lengths in found.items():
    print(f"  {name}: {lengths}")
assert found["no call"] == found["max_length=4, then a plain call"] == (8, 8, False, False)
assert found["max_length=4"] == (8, 4, True, True), "a call leaves nothing in the file now"
assert found["padded to 12"] == (8, 12, False, True), "a call leaves nothing in the file now"
PY
"$work/env/bin/python" "$work/kept.py"
