#!/usr/bin/env bash
# prefect 3.8.8: different inputs of a task have one cache key, and the same set has another in each process.
#
# Guess: cache_policy=INPUTS finds a result again if, and only if, the inputs are equal: {1: "a"} and {"1": "a"} are different thresholds by
# number and by name, a set of names is the same set tomorrow.
# Behaviour: inputs are hashed as JSON where that works. Keys of dictionaries become texts there, so {1: …} is {"1": …}, {None: …} {"null": …} and
# {True: …} {"true": …}; tuples are lists. The second task is given the first one's result. Sets are pickled, in the order that they have
# in memory, which for texts is another in each process: what was computed yesterday is computed again, or is found by luck. sorted() in front
# of the task helps.
# Seen: the three pairs and ((1,), [1]) the same key, (1, 1.0), (1, True) and ({1.0: …}, {1: …}) different; of a set of five texts in 4
# processes 4 keys, of the sorted list 1.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check prefect==3.8.8
cat > "$work/keys.py" <<'PY'
import sys

import prefect
from prefect.cache_policies import INPUTS


def key(value):
    return INPUTS.compute_key(task_ctx=None, inputs={"x": value}, flow_parameters={})


if len(sys.argv) > 1:
    names = {"base", "quality", "speed", "teacher", "student"}
    print(key(names), key(sorted(names)))
    raise SystemExit
same = {
    "int and text as key": key({1: "a"}) == key({"1": "a"}),
    "None and text as key": key({None: "a"}) == key({"null": "a"}),
    "True and text as key": key({True: "a"}) == key({"true": "a"}),
    "tuple and list": key((1,)) == key([1]),
    "1 and 1.0": key(1) == key(1.0),
    "1 and True": key(1) == key(True),
    "1.0 and 1 as key": key({1.0: "a"}) == key({1: "a"}),
    "other order of keys": key({"a": 1, "b": 2}) == key({"b": 2, "a": 1}),
}
print(f"prefect {prefect.__version__}, the same key: {same}")
wanted = {"int and text as key", "None and text as key", "True and text as key", "tuple and list", "other order of keys"}
assert {name for name, equal in same.items() if equal} == wanted, "inputs are told apart otherwise now"
PY
cd "$work"
export PREFECT_HOME="$work/home" PREFECT_LOGGING_LEVEL=ERROR PREFECT_SERVER_ANALYTICS_ENABLED=false
env/bin/python -W ignore keys.py
for seed in 1 2 3 4; do PYTHONHASHSEED=$seed env/bin/python -W ignore keys.py set; done > keys.txt
sets=$(cut -d' ' -f1 keys.txt | sort -u | wc -l) lists=$(cut -d' ' -f2 keys.txt | sort -u | wc -l)
echo "  keys in 4 processes: of a set $sets, of the sorted list $lists"
[ "$sets" -gt 1 ] && [ "$lists" = 1 ] || { echo "a set has one key now"; exit 1; }
