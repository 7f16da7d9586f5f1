#!/usr/bin/env bash
# prefect 3.8.8: under the cache policy INPUTS a task is given another task's result.
#
# Guess: cache_policy=INPUTS finds a result of the task by its inputs; which task it is goes without saying, as with functools.cache on two
# functions.
# Behaviour: the key is a hash of the names and values of the arguments and of nothing else, and all tasks keep their results in one place. Two
# tasks with arguments of the same names (config, path, shard), called with the same values, have one key: whichever comes second is not run,
# and returns what the first one made, in the state Cached. That names its own task and says nothing of another. It is so across flows and
# processes. Another name of an argument, INPUTS + TASK_SOURCE or a cache_key_fn with the task's name keeps them apart.
# Seen, double(x=5) and triple(x=5): 10 and 10, the second Cached; in a new process, triple first: 10; INPUTS + TASK_SOURCE: 10 and 15.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check prefect==3.8.8 fastapi==0.150.0
cat > "$work/tasks.py" <<'PY'
import prefect


def both(policy):
    """Two tasks with different names and different source."""

    @prefect.task(cache_policy=policy, persist_result=True)
    def double(x):
        return 2 * x

    @prefect.task(cache_policy=policy, persist_result=True)
    def triple(x):
        return 3 * x

    return double, triple


@prefect.flow
def seen(policy, first):
    """Name, result and state of both, the one called ``first`` before the other."""
    found = {}
    for task in sorted(both(policy), key=lambda task: task.name != first):
        state = task(5, return_state=True)
        found[task.name] = state.result(), state.name
    return found
PY
cat > "$work/one.py" <<'PY'
import prefect
from prefect.cache_policies import INPUTS, TASK_SOURCE
from tasks import seen

inputs, source = seen(INPUTS, "double"), seen(INPUTS + TASK_SOURCE, "double")
print(f"prefect {prefect.__version__}, INPUTS: {inputs}")
print(f"INPUTS + TASK_SOURCE: {source}")
assert inputs == {"double": (10, "Completed"), "triple": (10, "Cached")}, "tasks are told apart now"
assert source == {"double": (10, "Completed"), "triple": (15, "Completed")}
PY
cat > "$work/other.py" <<'PY'
from prefect.cache_policies import INPUTS
from tasks import seen

inputs = seen(INPUTS, "triple")
print(f"a new process, triple first: {inputs}")
assert inputs["triple"] == (10, "Cached"), "tasks are told apart now"
PY
cd "$work"
export PREFECT_HOME="$work/home" PREFECT_LOGGING_LEVEL=CRITICAL PREFECT_SERVER_ANALYTICS_ENABLED=false PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS=300
env/bin/python -W ignore one.py
env/bin/python -W ignore other.py
