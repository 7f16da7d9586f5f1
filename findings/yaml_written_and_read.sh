#!/usr/bin/env bash
# PyYAML 6.0.3, ruamel.yaml 0.19.1: what one of them writes, the other reads as another type.
#
# Guess: both read and write YAML, so a file of settings goes through both unchanged; JSON is YAML, so json.dumps writes a file for either.
# Behaviour: ruamel follows YAML 1.2, PyYAML 1.1 with a rule of its own: a number with an exponent needs a point and a sign. A learning
# rate 1e-05 as ruamel or json.dumps writes it is a text to PyYAML, and ruamel leaves the texts yes and off without quotes, which are
# True and False to PyYAML. The texts 1e-5 and 0o10 as PyYAML writes them are numbers to ruamel. Neither says anything. Read by hand,
# 010 is 8 or 10 and 12:30 is 750 or a text.
# Seen: written by ruamel {lr: 1e-05, a: yes}, read by PyYAML {"lr": "1e-05", "a": True}; the text "1e-5" by PyYAML, to ruamel 1e-05.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check pyyaml==6.0.3 ruamel.yaml==0.19.1
cat > "$work/read.py" <<'PY'
import io
import json
from importlib.metadata import version

import yaml
from ruamel.yaml import YAML

ruamel = YAML(typ="safe", pure=True)


def by_ruamel(value):
    out = io.StringIO()
    ruamel.dump(value, out)
    return out.getvalue()


numbers, texts = {"lr": 1e-05}, {"a": "yes", "b": "off", "c": "1e-5", "d": "0o10"}
seen = {
    "ruamel to PyYAML": yaml.safe_load(by_ruamel(numbers | texts)),
    "json to PyYAML": yaml.safe_load(json.dumps(numbers)),
    "PyYAML to ruamel": ruamel.load(yaml.safe_dump(numbers | texts)),
    "json to ruamel": ruamel.load(json.dumps(numbers)),
    "by hand, PyYAML": yaml.safe_load("[010, 12:30]"),
    "by hand, ruamel": ruamel.load("[010, 12:30]"),
}
print(f"PyYAML {version('pyyaml')}, ruamel.yaml {version('ruamel.yaml')}, given {numbers | texts}")
for way, found in seen.items():
    print(f"{way}: {found}")
assert yaml.safe_load(yaml.safe_dump(numbers | texts)) == ruamel.load(by_ruamel(numbers | texts)) == numbers | texts
assert seen["ruamel to PyYAML"] == texts | {"lr": "1e-05", "a": True, "b": False}, "ruamel writes for PyYAML now"
assert seen["json to PyYAML"] == {"lr": "1e-05"} and seen["json to ruamel"] == numbers, "PyYAML reads JSON now"
assert seen["PyYAML to ruamel"] == numbers | texts | {"c": 1e-05, "d": 8}, "PyYAML writes for ruamel now"
assert seen["by hand, PyYAML"] == [8, 750] and seen["by hand, ruamel"] == [10, "12:30"]
PY
"$work/env/bin/python" "$work/read.py"
