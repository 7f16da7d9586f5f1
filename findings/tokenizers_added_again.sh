#!/usr/bin/env bash
# tokenizers 0.23.3: adding a token that is already there changes how other words are cut.
#
# Guess: add_tokens(["the"]) where "the" is an entry of the vocabulary adds nothing and returns 0: it can be called to make sure, as a
# script does that adds its marks whenever it runs.
# Behaviour: it returns 1 and the entry keeps its id, but from then on the text is cut at every "the" before the tokenizer's own rules: "other", one
# token before, is o, the, r, and " the" loses its space. The number of entries is as it was, so nothing else tells, and a model sees
# texts as it never did in training. single_word=True spares the words around it, not the space in front.
# Seen: "other the" other, Ġthe before; o, the, r, Ġ, the after; returned 1, 261 entries both times.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check tokenizers==0.23.3
cat > "$work/again.py" <<'PY'
import tokenizers
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

merges = [("t", "h"), ("th", "e"), ("o", "the"), ("othe", "r"), ("Ġ", "the")]


def made():
    vocabulary = {letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    for one, two in merges:
        vocabulary[one + two] = len(vocabulary)
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return core


core = made()
before, size, at = core.encode("other the").tokens, core.get_vocab_size(), core.token_to_id("the")
returned = core.add_tokens(["the"])
after = core.encode("other the").tokens
alone = made()
alone.add_tokens([AddedToken("the", single_word=True)])
spared = alone.encode("other the").tokens
print(f"tokenizers {tokenizers.__version__}: before {before}, returned {returned}, after {after}, single_word {spared}, {size} entries")
assert core.get_vocab_size() == size and core.token_to_id("the") == at
assert before == ["other", "Ġthe"]
assert returned == 1 and after == ["o", "the", "r", "Ġ", "the"], "what is there is not added again now"
assert spared == ["other", "Ġ", "the"]
PY
PYTHONIOENCODING=utf-8 "$work/env/bin/python" "$work/again.py"
