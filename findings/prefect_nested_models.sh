#!/usr/bin/env bash
# prefect 3.8.8, pydantic 2.14.3: what a subclass adds to a field's class is in neither the cache key nor a JSON result.
#
# Guess: two configs that are not equal have two keys under cache_policy=INPUTS, and a result with result_serializer="json" is read as the one
# that was returned; also where a field is declared as a base class (an objective, a decoder) and holds one of its subclasses.
# Behaviour: Prefect writes a model with model_dump, and that writes a field as its declared class says. So all settings of the subclass are
# left out: Run(objective=Soft(temperature=1)) and 2, and a Hard, have one key, and the second task is given the first one's result.
# A result comes back with the base class in that field. Alone, in a list, or with the field declared as SerializeAsAny[Objective],
# the key has the settings; the result then cannot be read as the subclass, either.
# Seen, one key: field of a model True, alone False, in a list False, SerializeAsAny False; Run(objective=Soft(temperature=2.0)) read from JSON:
# Run(objective=Objective(weight=1.0)).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check prefect==3.8.8 pydantic==2.14.3
cat > "$work/nested.py" <<'PY'
import prefect
import pydantic
from prefect.cache_policies import INPUTS
from prefect.serializers import JSONSerializer


class Objective(pydantic.BaseModel):
    weight: float = 1.0


class Soft(Objective):
    temperature: float


class Hard(Objective):
    pass


class Run(pydantic.BaseModel):
    objective: Objective


class Open(pydantic.BaseModel):
    objective: pydantic.SerializeAsAny[Objective]


def key(value):
    return INPUTS.compute_key(task_ctx=None, inputs={"config": value}, flow_parameters={})


def read(value):
    """A result after it was written as JSON."""
    return JSONSerializer().loads(JSONSerializer().dumps(value))


one, two = Soft(temperature=1), Soft(temperature=2)
assert Run(objective=one) != Run(objective=two)
same = {
    "field": key(Run(objective=one)) == key(Run(objective=two)),
    "field, other subclass": key(Run(objective=one)) == key(Run(objective=Hard())),
    "field, base differs": key(Run(objective=one)) == key(Run(objective=Soft(temperature=1, weight=2))),
    "alone": key(one) == key(two),
    "list": key([one]) == key([two]),
    "SerializeAsAny": key(Open(objective=one)) == key(Open(objective=two)),
}
back = {"Run": read(Run(objective=two)), "Open": read(Open(objective=two)), "alone": read(two)}
print(f"prefect {prefect.__version__}, pydantic {pydantic.VERSION}: one key {same}; read from JSON {back}")
assert {name for name, equal in same.items() if equal} == {"field", "field, other subclass"}, "keys are told apart otherwise now"
assert type(back["Run"].objective) is Objective and type(back["Open"].objective) is Objective, "a subclass comes back now"
assert back["alone"] == two
PY
cd "$work"
export PREFECT_HOME="$work/home" PREFECT_LOGGING_LEVEL=CRITICAL PREFECT_SERVER_ANALYTICS_ENABLED=false
env/bin/python -W ignore nested.py
