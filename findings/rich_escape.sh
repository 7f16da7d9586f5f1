#!/usr/bin/env bash
# rich 15.0.0: escaped text is not printed as it is.
#
# Guess: rich.markup.escape(text), or print(text, markup=False), puts a text of somebody else's on the terminal as it is: a program, a
# path, a model's answer.
# Behaviour: names of emoji between colons are replaced all the same, and many of them are short: a slice x[a:b:c], a ratio 1:100:2, a
# dict on one line. escape also doubles a backslash at the end of the text, and the doubled one is shown. Only emoji=False (in the call
# or for the console) or rich.text.Text prints what was given.
# Seen: "x[a:b:c]" -> "x[a🅱c]", "1:100:2" -> "1💯2", both ways; "C:\runs\" -> "C:\runs\\" with escape.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check rich==15.0.0
cat > "$work/shown.py" <<'PY'
import io
from importlib.metadata import version

from rich.console import Console
from rich.markup import escape
from rich.text import Text


def shown(text, **options):
    out = io.StringIO()
    Console(file=out, width=80).print(text, **options)
    return out.getvalue().removesuffix("\n")


texts = ["x[a:b:c]", "1:100:2", "C:\\runs\\", "[red]a[/red]"]
ways = {
    "escape": [shown(escape(text)) for text in texts],
    "markup=False": [shown(text, markup=False) for text in texts],
    "and emoji=False": [shown(text, markup=False, emoji=False) for text in texts],
    "Text": [shown(Text(text)) for text in texts],
}
print(f"rich {version('rich')}, given {texts}")
for way, seen in ways.items():
    print(f"{way}: {seen}")
emoji = ["x[a🅱c]", "1💯2"]
assert ways["escape"] == [*emoji, "C:\\runs\\\\", "[red]a[/red]"], "escape shows another text now"
assert ways["markup=False"] == [*emoji, *texts[2:]], "markup=False shows another text now"
assert ways["and emoji=False"] == ways["Text"] == texts
PY
PYTHONIOENCODING=utf-8 "$work/env/bin/python" "$work/shown.py"
