#!/usr/bin/env bash
# transformers 5.23.0 and 4.57.6: a tokenizer that is nothing but a tokenizer.json, saved by the one and read by the other.
#
# Guess: files of a PreTrainedTokenizerFast are the same data whoever writes them. What 5 saves, 4 reads, as 5 reads what
# 4 saved: engines that serve a checkpoint are often one major version behind whoever trained it.
# Behaviour: in 5 the class is an alias, and what is saved is the name behind it, TokenizersBackend, which 4 has never
# heard of: AutoTokenizer raises ValueError before it looks at tokenizer.json. With the old name put back by hand both
# read the file, to the same ids.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/new"
python3 -m venv "$work/old"
"$work/new/bin/pip" install --quiet --disable-pip-version-check transformers==5.23.0
"$work/old/bin/pip" install --quiet --disable-pip-version-check transformers==4.57.6
cat > "$work/save.py" <<'PY'
import json
import sys
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

words = Tokenizer(models.WordLevel({"<unk>": 0, "one": 1, "two": 2}, unk_token="<unk>"))
words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
folder = Path(sys.argv[1])
PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>").save_pretrained(folder)
print("saved as", json.loads((folder / "tokenizer_config.json").read_text())["tokenizer_class"])
PY
cat > "$work/read.py" <<'PY'
import sys

import transformers

try:
    ids = transformers.AutoTokenizer.from_pretrained(sys.argv[1])("one two three")["input_ids"]
except ValueError as error:
    ids = f"ValueError: {str(error).split(' or ')[0]}"
print(transformers.__version__, ids)
PY
run() { "$work/$1/bin/python" "$work/$2" "$work/$3" 2>/dev/null; }
seen=$(
  run new save.py saved
  run new read.py saved
  run old read.py saved
  sed -i 's/TokenizersBackend/PreTrainedTokenizerFast/' "$work/saved/tokenizer_config.json"
  run new read.py saved
  run old read.py saved
)
# Seen 2026-11-28:
expected='saved as TokenizersBackend
5.23.0 [1, 2, 0]
4.57.6 ValueError: Tokenizer class TokenizersBackend does not exist
5.23.0 [1, 2, 0]
4.57.6 [1, 2, 0]'
echo "$seen"
[ "$seen" = "$expected" ] || { echo "behaves otherwise now"; exit 1; }
