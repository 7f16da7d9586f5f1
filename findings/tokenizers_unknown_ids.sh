#!/usr/bin/env bash
# transformers 5.23.0, tokenizers 0.23.3: ids that a tokenizer does not have are nothing in the text.
#
# Guess: decode of an id beyond the vocabulary is an error, as a negative id is, or shows something in its place. Models have more rows in
# their embeddings than their tokenizer has entries (padded to a round number), so such ids can be drawn.
# Behaviour: they are dropped without a word, wherever they stand, by transformers and by tokenizers alone, one by one and in batches; also
# with skip_special_tokens=False. A text that is judged or counted shows no trace of them: 268 entries, an answer of the ids of "hello",
# 273 and "world" is "hello world". convert_ids_to_tokens gives None for each; a negative id is an OverflowError.
# Seen: decode([..., 273, ...]) == decode without it; decode([273]) == "".
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check transformers==5.23.0 tokenizers==0.23.3
cat > "$work/ids.py" <<'PY'
import tokenizers
import transformers
from tokenizers import decoders, models, pre_tokenizers, trainers

inner = tokenizers.Tokenizer(models.BPE())
inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
inner.decoder = decoders.ByteLevel()
letters = pre_tokenizers.ByteLevel.alphabet()
trainer = trainers.BpeTrainer(special_tokens=["<eos>"], initial_alphabet=letters, show_progress=False)
inner.train_from_iterator(["hello world"] * 10, trainer)
outer = transformers.PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<eos>")

size = len(outer)
ids = outer("hello world")["input_ids"]
odd = [ids[0], size + 5, *ids[1:], size + 100]
seen = {
    "transformers": outer.decode(odd, skip_special_tokens=False),
    "tokenizers": inner.decode(odd, skip_special_tokens=False),
    "batch": outer.batch_decode([odd, [size]]),
    "tokens": outer.convert_ids_to_tokens([size + 5]),
}
try:
    outer.decode([*ids, -1])
    negative = "decoded"
except OverflowError:
    negative = "OverflowError"
print(f"transformers {transformers.__version__}, tokenizers {tokenizers.__version__}, {size} entries, ids {odd}: {seen}")
print(f"a negative id: {negative}")
assert seen["transformers"] == seen["tokenizers"] == "hello world", "unknown ids show in the text now"
assert seen["batch"] == ["hello world", ""] and seen["tokens"] == [None]
assert negative == "OverflowError"
PY
HF_HUB_OFFLINE=1 "$work/env/bin/python" "$work/ids.py"
