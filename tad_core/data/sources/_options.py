"""Reading the ``options`` of a source strictly."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from tad_core.config import SourceConfig
from tad_core.errors import ConfigError

#: what an option takes, by the type of its default
_IN_WORDS: dict[type, str] = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    list: "a list",
}


def read_options(source: SourceConfig, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """``defaults`` updated with the source's options.

    A default that is a list takes a list of texts or a single one; a float takes a whole number too.

    Raises:
        ConfigError: for an option that is not in ``defaults`` or of another type.
    """
    merged = dict(defaults)
    for name, value in source.options.items():
        if name not in defaults:
            near = difflib.get_close_matches(name, defaults, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(defaults)}"
            raise ConfigError(f"data source {source.name}: option {name!r} is not known; {hint}")
        default = defaults[name]
        if isinstance(default, list):
            value = [value] if isinstance(value, str) else value
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise ConfigError(
                    f"data source {source.name}: option {name} is {value!r}; it takes a text or a list of texts"
                )
        elif isinstance(default, float) and type(value) is int:
            value = float(value)
        if default is not None and type(value) is not type(default):
            raise ConfigError(
                f"data source {source.name}: option {name} is {value!r}; it takes {_IN_WORDS[type(default)]}"
            )
        merged[name] = value
    return merged


def check_steps(source: SourceConfig, low: int, high: int, most: int) -> None:
    """Bounds of a generator's difficulty.

    Raises:
        ConfigError: when they are not 1 <= low <= high <= most.
    """
    if not 1 <= low <= high <= most:
        raise ConfigError(
            f"data source {source.name}: min_steps {low} and max_steps {high}; use 1 <= min <= max <= {most}"
        )


def count_of(source: SourceConfig) -> int:
    """The count of a generator, which can make any number of problems.

    Raises:
        ConfigError: when none is given.
    """
    if source.count is None:
        raise ConfigError(
            f"data source {source.name}: count is missing; {source.source} makes as many problems as are asked for"
        )
    return source.count
