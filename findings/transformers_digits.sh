#!/usr/bin/env bash
# transformers 5.23.0 and 4.57.6, tokenizers 0.23.3: a tokenizer that cuts numbers into digits does so no more once it is read as GPT-2's class.
#
# Guess: tokenizer.json is the tokenizer: its rules for cutting words stand in it, and whoever reads the file has the same ids for a text. The
# tokenizer_class beside it only names a class of Python. So it is in 4, and in 5 for the classes Qwen2Tokenizer and PreTrainedTokenizerFast.
# Behaviour: of a file under GPT2Tokenizer or GPT2TokenizerFast (the class under which many tokenizers of bytes were saved) 5 takes the vocabulary
# and the merges alone and puts GPT-2's own rules around them. A rule that takes digits one by one, as models that are to calculate have it, is
# gone without a word: numbers become tokens that the model never saw there. Decoded texts are the same, so a round trip shows nothing.
# With tokenizer_class PreTrainedTokenizerFast in tokenizer_config.json, or PreTrainedTokenizerFast.from_pretrained, the file is read as it is.
# Seen, "a 345": tokenizers, and 4: a, Ġ, 3, 4, 5; 5 under GPT2Tokenizer and GPT2TokenizerFast: a, Ġ345.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for version in 5.23.0 4.57.6; do
  python3 -m venv "$work/$version"
  "$work/$version/bin/pip" install --quiet --disable-pip-version-check "transformers==$version"
done
cat > "$work/save.py" <<'PY'
import json
from pathlib import Path

import tokenizers
from tokenizers import Regex, Tokenizer, decoders
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split

letters = {letter: i for i, letter in enumerate(sorted(ByteLevel.alphabet()))}
merges = [("Ġ", "3"), ("Ġ3", "4"), ("Ġ34", "5")]
words = letters | {"".join(pair): len(letters) + i for i, pair in enumerate(merges)} | {"<|end|>": len(letters) + len(merges)}
tokenizer = Tokenizer(BPE(words, merges))
tokenizer.pre_tokenizer = Sequence([Split(Regex(r"\d"), "isolated"), ByteLevel(add_prefix_space=False)])
tokenizer.decoder = decoders.ByteLevel()
tokenizer.add_special_tokens(["<|end|>"])
print("tokenizers", tokenizers.__version__, tokenizer.encode("a 345").tokens)
for name in ("PreTrainedTokenizerFast", "Qwen2Tokenizer", "GPT2Tokenizer", "GPT2TokenizerFast"):
    folder = Path(name)
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": name, "eos_token": "<|end|>"}
    if name == "GPT2Tokenizer":
        settings["unk_token"] = settings["bos_token"] = "<|end|>"
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
PY
cat > "$work/read.py" <<'PY'
import json

import transformers

found = {}
for name in ("PreTrainedTokenizerFast", "Qwen2Tokenizer", "GPT2Tokenizer", "GPT2TokenizerFast"):
    tokenizer = transformers.AutoTokenizer.from_pretrained(name)
    ids = tokenizer("a 345").input_ids
    found[name] = tokenizer.convert_ids_to_tokens(ids)
    assert tokenizer.decode(ids) == "a 345"
by_hand = transformers.PreTrainedTokenizerFast.from_pretrained("GPT2Tokenizer").tokenize("a 345")
print("transformers", transformers.__version__, json.dumps(found, ensure_ascii=False), "by hand", by_hand)
digits, joined = ["a", "Ġ", "3", "4", "5"], ["a", "Ġ345"]
new = transformers.__version__ > "5"
expected = {name: joined if new and name.startswith("GPT2") else digits for name in found}
assert found == expected and by_hand == digits, "the file is read otherwise now"
PY
cd "$work"
export HF_HUB_OFFLINE=1
"5.23.0/bin/python" save.py
for version in 4.57.6 5.23.0; do "$version/bin/python" read.py 2>/dev/null; done
