"""Of a small run: other settings, and its windows."""

from __future__ import annotations

from tad_core.config import TADConfig, parse_config
from tad_core.stages.calibrate import MODES, read_curve


def read_windows(ref):
    """Of the two rules that are kept with the curve."""
    return {mode: read_curve(ref)[mode]["window"] for mode in MODES}


def changed(config: TADConfig, **sections):
    tree = config.model_dump(mode="json")
    for section, values in sections.items():
        tree[section] = {**tree[section], **values}
    return parse_config(tree)
