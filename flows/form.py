"""The run form of a deployed flow: a preset by name, settings as optional typed fields, overrides on top.

None of the fields (``flows.form_fields``) has a value until somebody fills it in, so that an empty form is the preset
as it is. What a preset sets stands in the description. The table of models is a list of rows here; other mappings have
no field: they are changed in ``overrides``.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from flows.form_fields import Partial, filled_in, form_of, is_section
from tad_core.config import BASE, TADConfig, load_config
from tad_core.config.extending import EXTENDS, read_run
from tad_core.errors import ConfigError

#: The checkout or image: relative paths of a preset (checkpoint, problems, store) start here.
ROOT = Path(__file__).resolve().parents[1]
#: A folder of further presets, beside the shipped ones.
PRESETS_VARIABLE = "TAD_PRESETS"
#: Where relative stores go, e.g. a shared disk or a bucket; default: ROOT.
STORE_VARIABLE = "TAD_STORE"


@lru_cache(maxsize=1)
def presets() -> dict[str, Path]:
    """The pipeline's configurations by name: those shipped in configs/, and those in ``$TAD_PRESETS``."""
    folders = [ROOT / "configs", *([Path(own)] if (own := os.environ.get(PRESETS_VARIABLE)) else [])]
    files = [file for folder in folders for file in sorted(folder.glob("*.yaml"))]
    # A file of another kind (pretraining) or one that cannot be read is no preset.
    return {file.stem: file for file in files if _tree(file).keys() & {"evaluate", EXTENDS}}


def changes(*sections: str) -> type[Partial]:
    """The model of the form's fields: the settings outside any section, and those of ``sections``."""
    trains = "distill" in sections
    wanted = {
        name: info
        for name, info in TADConfig.model_fields.items()
        if name in sections or not (is_section(info) or (name == "models" and not trains))
    }
    return form_of(wanted, {name: _tree(file) for name, file in presets().items()})


def configured(preset: str, changed: Partial, overrides: Sequence[str]) -> TADConfig:
    """The preset with the form's fields, then the overrides, on top; the store made absolute.

    Raises:
        ConfigError: an unknown preset, or everything that is wrong with the result, in one message.
    """
    file = presets().get(preset)
    if file is None:
        raise ConfigError(f"preset: {preset!r} does not exist; use one of {', '.join(presets())}")
    filled = dict(filled_in(changed))
    if table := filled.get(("models",)):  # of another table the preset's choice would name what is not there
        filled.setdefault(("evaluate", "models"), [BASE, *table])
    set_here = [f"{'.'.join(path)}={json.dumps(value)}" for path, value in filled.items()]
    config = load_config(file, [*set_here, *overrides])
    return config.model_copy(update={"store": absolute_store(config.store)})


def absolute_store(store: str) -> str:
    """A relative store below ``$TAD_STORE`` or the checkout; URLs and absolute paths as they are."""
    if "://" in store or Path(store).expanduser().is_absolute():
        return store
    return f"{os.environ.get(STORE_VARIABLE) or ROOT}/{store}"


@lru_cache(maxsize=64)
def _tree(file: Path) -> dict[str, Any]:
    with contextlib.suppress(ConfigError):
        return read_run(file).tree
    try:
        # A file with a key given twice, say, is offered, and refused with its lines when it is chosen.
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    return tree if isinstance(tree, dict) else {}
