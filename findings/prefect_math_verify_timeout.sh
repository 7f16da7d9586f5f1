#!/usr/bin/env bash
# prefect 3.8.8, math-verify 0.9.0, Linux: a task that judges one answer has no timeout any more.
#
# Guess: @task(timeout_seconds=1) and @flow(timeout_seconds=1) end their function after a second whatever it calls; parse and verify, which
# have timeouts of their own, limit themselves and leave the rest alone.
# Behaviour: both use the one alarm that a process has. math-verify sets it for its own call and switches it off afterwards, Prefect's with it:
# from the first parse or verify in the main thread on nothing ends the task or flow, and no word is said. With
# parsing_timeout=None and timeout_seconds=None the alarm is left alone, and the timeout holds.
# Seen, functions that go on for four seconds, with a timeout of one: task and flow alone TimedOut; after parse, or parse and verify,
# Completed; after both without timeouts of their own TimedOut.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check \
  prefect==3.8.8 fastapi==0.150.0 math-verify==0.9.0 latex2sympy2_extended==1.11.0 sympy==1.14.0 antlr4-python3-runtime==4.11.0
cat > "$work/judge.py" <<'PY'
import logging
import time

import prefect
from math_verify import parse, verify


def nothing():
    pass


def parsed():
    parse("$1/2$")


def verified():
    assert verify(parse("$1/2$"), parse("$0.5$"))


def without():
    right, given = (parse(text, parsing_timeout=None) for text in ("$1/2$", "$0.5$"))
    assert verify(right, given, timeout_seconds=None)


def work(judge):
    judge()
    end = time.monotonic() + 4
    while time.monotonic() < end:
        time.sleep(0.05)


def ended(decorate, judge):
    """Name of the state in which a task or flow ends that may take one second."""
    return decorate(timeout_seconds=1)(work)(judge, return_state=True).name


logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns of calls without a timeout
kinds = {"task": prefect.task, "flow": prefect.flow}
cases = {"alone": nothing, "parse": parsed, "parse and verify": verified, "both without timeouts": without}
for judge in cases.values():
    judge()  # what the first call of each imports and caches is no part of the second
seen = {name: {kind: ended(decorate, judge) for kind, decorate in kinds.items()} for name, judge in cases.items()}
print(f"prefect {prefect.__version__}: {seen}")
for name, states in seen.items():
    wanted = "Completed" if name.startswith("parse") else "TimedOut"
    assert set(states.values()) == {wanted}, f"{name}: ends otherwise now"
PY
cd "$work"
export PREFECT_HOME="$work/home" PREFECT_LOGGING_LEVEL=CRITICAL PREFECT_SERVER_ANALYTICS_ENABLED=false PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS=300
env/bin/python -W ignore judge.py
