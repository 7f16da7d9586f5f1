#!/usr/bin/env bash
# sacrebleu 2.6.0: references in the wrong order of brackets score the first answer alone, and that as if it were all.
#
# Guess: corpus_bleu(answers, references) with as many lists as answers, each of the references of one (the shape of nltk and of evaluate), or with
# fewer references than answers, is an error: the numbers do not fit.
# Behaviour: the outer list is one of streams, each with a reference for every answer, and streams are zipped with the answers: what is longer
# is dropped. Three lists of one reference are three references of the first answer, and the other two answers are not looked at; so it is
# with a stream that ends early (a file cut off). A plain list of strings is taken, too: each string is a stream of letters. The same in
# corpus_chrf and corpus_ter. The result looks like any other; only hyp_len tells.
# Seen, one of three answers right, BLEU: right shape 34.1, a list each 100.0 (6 words of 17), one reference of three 100.0, plain list 0.0.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check sacrebleu==2.6.0 numpy==2.4.6
cat > "$work/references.py" <<'PY'
import sacrebleu

answers = ["the cat sat on the mat", "a dog ran in the park today", "wrong words stand here"]
right = ["the cat sat on the mat", "my horse slept under an old tree", "green ideas sleep furiously tonight"]
shapes = {
    "right": [right],
    "a list each": [[reference] for reference in right],
    "one reference": [right[:1]],
    "plain list": right,
}
metrics = {"BLEU": sacrebleu.corpus_bleu, "chrF": sacrebleu.corpus_chrf, "TER": sacrebleu.corpus_ter}
seen = {
    shape: {name: round(metric(answers, references).score, 1) for name, metric in metrics.items()}
    for shape, references in shapes.items()
}
words = {shape: sacrebleu.corpus_bleu(answers, references).sys_len for shape, references in shapes.items()}
print(f"sacrebleu {sacrebleu.__version__}, one of three answers right: {seen}; words of answers that were looked at: {words}")
whole = {"BLEU": 100.0, "chrF": 100.0, "TER": 0.0}
assert words["right"] == 17 and seen["right"]["BLEU"] < 50 < seen["right"]["TER"]
assert seen["a list each"] == seen["one reference"] == whole, "numbers that do not fit are refused now"
assert words["a list each"] == words["one reference"] == 6, words
assert seen["plain list"]["BLEU"] < 1, "a plain list is one reference each now"
PY
"$work/env/bin/python" "$work/references.py"
