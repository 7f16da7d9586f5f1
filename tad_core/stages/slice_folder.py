"""Where the slices of a model's evaluation lie, known without anything that computes."""

from __future__ import annotations

from tad_core.artifacts import ArtifactRef, fingerprint
from tad_core.artifacts.components import component_fields
from tad_core.config import TADConfig

STAGE = "decode"
STAGE_VERSION = 1


def key(config: TADConfig, adapter_ref: ArtifactRef | None) -> str:
    """Fingerprint of the folder of all slices of one model, whichever evaluation asked for them; None: the base."""
    from tad_core.checkpoint import model_fingerprint

    fields = {
        "model": model_fingerprint(config.model),
        "dtype": config.model.dtype,
        **component_fields(STAGE),
    }
    return fingerprint(STAGE, STAGE_VERSION, fields, [adapter_ref.fingerprint] if adapter_ref else [])
