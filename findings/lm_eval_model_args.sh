#!/usr/bin/env bash
# lm_eval 0.4.13: a value of --model_args that can be read as a number is one, the commit of a model too.
#
# Guess: --model_args pretrained=org/model,revision=0012345 loads that commit: what follows "=" is text unless the option is a number.
# Behaviour: whatever Python reads as a number is made one, on the command line and in a string of arguments handed to simple_evaluate. A
# short hash of digits loses its leading zeros (0012345 is 12345), one with an e between digits is infinity (12e4567), "1_0" is 10.0, "nan"
# and "inf" are floats. What is looked for then is another revision, name or folder than the one that was asked for. A full hash almost always
# has a letter that saves it. Quotes that reach lm-eval keep it text (on a command line quoted for the shell as well).
# Seen, command line and string: 0012345 -> 12345 in both; 12e4567 -> inf in both; 1_0 -> 10.0 in both; in quotes 0012345 stays text.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check lm_eval==0.4.13
cat > "$work/words.py" <<'PY'
import math
from importlib.metadata import version

from lm_eval._cli.utils import key_val_to_dict
from lm_eval.utils import simple_parse_args_string

seen = {
    text: tuple(read(f"revision={text}")["revision"] for read in (key_val_to_dict, simple_parse_args_string))
    for text in ("0012345", "12e4567", "1_0", '"0012345"', "0012345a")
}
print(f"lm_eval {version('lm_eval')}: (command line, string) {seen}")
assert seen["0012345"] == (12345, 12345), "digits stay text now"
assert seen["12e4567"] == (math.inf, math.inf) and seen["1_0"] == (10.0, 10.0)
assert seen['"0012345"'] == ("0012345", "0012345"), "quotes are read otherwise now"
assert seen["0012345a"] == ("0012345a", "0012345a")
PY
"$work/env/bin/python" "$work/words.py"
