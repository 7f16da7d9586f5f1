"""The classes of the model families, as ``tad_core.families`` names them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tad_core import families
from tad_core.models.base import DiffusionLM


def _named(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


#: ``model_type`` in config.json -> (class of its settings, class of the model)
FAMILIES: dict[str, tuple[type[Any], type[DiffusionLM]]] = {
    kind: (_named(family.config_class), _named(family.model_class))
    for kind, family in families.FAMILIES.items()
}
