#!/usr/bin/env bash
# tokenizers 0.23.3: an added token with a letter or sign of Western Europe is not decoded to itself.
#
# Guess: a token that is added to a tokenizer (a unit, a name, a mark of the task) stands for its text: what is encoded to it is decoded from it,
# in every kind of tokenizer.
# Behaviour: a tokenizer of bytes (as those of GPT-2, Llama 3, Qwen, LLaDA and Dream) writes bytes as letters of that range, and its decoder takes
# an added token for such bytes if all its letters could be: "é", "°", "±", "×", "ñandú" come back as U+FFFD, and with them part of
# the text. Encoding is right, other letters are right ("π", "€"), and so is the very same letter beside one of those or beside a space. Special
# or not makes no difference.
# Seen: decode(encode("a" + token + "b")): "°" a�b, "×10" a�10b, "ñandú" a�and�b; "π" aπb, "π°" aπ°b, " °" a °b.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check tokenizers==0.23.3
cat > "$work/letters.py" <<'PY'
import tokenizers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

vocabulary = {letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}


def back(added, special=False):
    """A text with that token in it, encoded and decoded."""
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    text = f"a{added}b"
    assert core.decode(core.encode(text).ids) == text  # as bytes it is right
    (core.add_special_tokens if special else core.add_tokens)([added])
    encoded = core.encode(text)
    assert encoded.tokens == ["a", added, "b"]
    return core.decode(encoded.ids, skip_special_tokens=False)


lost = {text: back(text) for text in ("°", "±", "é", "<é>", "×10", "ñandú")}
kept = {text: back(text) for text in ("unit", "π", "€", "π°", " °")}
print(f"tokenizers {tokenizers.__version__}: {lost}, {kept}")
assert {text: back(text, special=True) for text in lost} == lost
assert kept == {text: f"a{text}b" for text in kept}
bad = "\N{REPLACEMENT CHARACTER}"
assert lost == {
    "°": f"a{bad}b", "±": f"a{bad}b", "é": f"a{bad}b", "<é>": f"a<{bad}>b", "×10": f"a{bad}10b", "ñandú": f"a{bad}and{bad}b"
}, "added tokens are decoded to themselves now"
PY
PYTHONIOENCODING=utf-8 "$work/env/bin/python" "$work/letters.py"
