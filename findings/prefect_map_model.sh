#!/usr/bin/env bash
# prefect 3.8.8, pydantic 2.14.3: a model among the arguments of map is taken apart into its fields.
#
# Guess: task.map([1, 2], config) gives each call one of the numbers and the whole config, as it does with a number, a text or a dataclass: a
# model is no collection.
# Behaviour: whatever Python can loop over is mapped, and a pydantic model can be looped over: its items are pairs of name and value. With as
# many fields as there are numbers each call gets one pair as its config, without a word, though the task says config: Config; with another
# count it is an error about lengths, until a field is added. unmapped(config) is right.
# Seen, Config(rate=0.1, steps=3): map([1, 2], config) gives ("rate", 0.1) and ("steps", 3); three numbers MappingLengthMismatch; unmapped and
# a dataclass: the whole twice.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check prefect==3.8.8 pydantic==2.14.3 fastapi==0.150.0
cat > "$work/maps.py" <<'PY'
import dataclasses

import prefect
import pydantic
from prefect.exceptions import MappingLengthMismatch


class Config(pydantic.BaseModel):
    rate: float
    steps: int


@dataclasses.dataclass
class Plain:
    rate: float
    steps: int


@prefect.task
def given(number: int, config: Config):
    return config


@prefect.flow
def main():
    config, plain = Config(rate=0.1, steps=3), Plain(0.1, 3)
    seen = {
        "model": given.map([1, 2], config).result(),
        "unmapped": given.map([1, 2], prefect.unmapped(config)).result(),
        "dataclass": given.map([1, 2], plain).result(),
    }
    try:
        given.map([1, 2, 3], config)
        seen["three"] = None
    except MappingLengthMismatch as error:
        seen["three"] = type(error).__name__
    print(f"prefect {prefect.__version__}, pydantic {pydantic.VERSION}: {seen}")
    assert seen["model"] == [("rate", 0.1), ("steps", 3)], "a model is given whole now"
    assert seen["unmapped"] == [config, config] and seen["dataclass"] == [plain, plain]
    assert seen["three"] == "MappingLengthMismatch", "other lengths pass now"


main()
PY
cd "$work"
export PREFECT_HOME="$work/home" PREFECT_LOGGING_LEVEL=CRITICAL PREFECT_SERVER_ANALYTICS_ENABLED=false PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS=300
env/bin/python -W ignore maps.py
