"""What the forms of list items share: the order of their fields, and texts of the form name=value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tad_core.config.loading import read_value
from tad_core.errors import ConfigError


def in_order(schema: dict[str, Any]) -> None:
    """Fields keep their order in any database, and one that may be empty is of its one type."""
    for position, shown in enumerate(schema["properties"].values()):
        shown["position"] = position
        shown.pop("default", None)
        if members := [m for m in shown.pop("anyOf", []) if m.get("type") != "null"]:
            shown.update(members[0])


def read_pairs(where: str, pairs: Sequence[str], example: str) -> dict[str, Any]:
    """``name=value`` each, the values as YAML has them; ``a.b=value`` is a field of a mapping.

    Raises:
        ConfigError: one is not of that form, or the value is no YAML.
    """
    out: dict[str, Any] = {}
    for item in pairs:
        name, equals, raw = item.partition("=")
        if not equals or not name.strip():
            raise ConfigError(f"{where}: {item!r} is not of the form name=value, e.g. {example}")
        *parents, leaf = name.strip().split(".")
        node = out
        for part in parents:
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                raise ConfigError(
                    f"{where}: {item!r} is a field of {part}, which has a value already; leave one out"
                )
        node[leaf] = read_value(raw, f"{where}: {name.strip()}")
    return out
