#!/usr/bin/env bash
# transformers 5.23.0, tokenizers 0.23.3: a pad token that texts use is gone from texts after save and load.
#
# Guess: tokenizer.pad_token = "!", for a tokenizer that has none, names an entry that is there, to fill rows up with: ids and texts stay as
# they are. What is saved is the tokenizer as it is.
# Behaviour: so it is until the tokenizer is saved and loaded. Then "!" is a special token like any other: decode with skip_special_tokens=True
# drops each of them, "5!" is "5" and "!=" is "=", also in what the model wrote itself; and it is cut out of words before the tokenizer's
# own rules, so a text has other ids than before: with "the" as pad token "other" is o, the, r. Given to the constructor, or by add_special_tokens, it
# does so at once.
# Seen: "5! != 6" decoded as "5! != 6" when set, "5 = 6" after save and load; ids of "other" one before, three after.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check transformers==5.23.0 tokenizers==0.23.3
cat > "$work/pad.py" <<'PY'
import tempfile

import tokenizers
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast


def made(**options):
    vocabulary = {letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    merges = [("t", "h"), ("th", "e"), ("o", "the"), ("othe", "r")]
    for one, two in merges:
        vocabulary[one + two] = len(vocabulary)
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=core, **options)


def loaded(tokenizer):
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        return AutoTokenizer.from_pretrained(folder)


def back(tokenizer, text="5! != 6"):
    return tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True)


def cut(tokenizer):
    return tokenizer.convert_ids_to_tokens(tokenizer("other")["input_ids"])


mark, word = made(), made()
mark.pad_token, word.pad_token = "!", "the"
texts = {"none": back(made()), "set": back(mark), "loaded": back(loaded(mark)), "constructor": back(made(pad_token="!"))}
cuts = {"none": cut(made()), "set": cut(word), "loaded": cut(loaded(word))}
print(f"transformers {transformers.__version__}, tokenizers {tokenizers.__version__}: {texts}, {cuts}")
assert texts["none"] == texts["set"] == "5! != 6" and cuts["none"] == cuts["set"] == ["other"]
assert texts["loaded"] == texts["constructor"] == "5 = 6", "a pad token that texts use stays in them now"
assert cuts["loaded"] == ["o", "the", "r"], "words are cut as before now"
PY
TQDM_DISABLE=1 TRANSFORMERS_VERBOSITY=error "$work/env/bin/python" -W ignore "$work/pad.py"
