"""The configuration tree: strict, typed, one YAML per set-up, ``--set a.b=c`` on top.

Every field says what it means and what it accepts, because the same text is the error message, the
documentation and the run form of the UI. Fields that cannot change a result (devices, batch sizes,
workers) carry ``RUNTIME`` in their metadata and never enter a fingerprint.
"""

from __future__ import annotations

from tad_core.config.decoders import DecodeConfig, DecoderConfig, decoder_of, own_decoder
from tad_core.config.evaluation import EvaluateConfig
from tad_core.config.inputs import ModelConfig, SourceConfig
from tad_core.config.loading import dump_config, load_config, naming_lines, parse_config, validated
from tad_core.config.models import BASE, Variant, VariantConfig, WindowConfig, variants
from tad_core.config.objectives import OBJECTIVES
from tad_core.config.rollout import CalibrateConfig, Condition, RolloutConfig
from tad_core.config.training import DistillConfig, LoraConfig
from tad_core.config.tree import TADConfig

__all__ = [
    "BASE",
    "OBJECTIVES",
    "CalibrateConfig",
    "Condition",
    "DecodeConfig",
    "DecoderConfig",
    "DistillConfig",
    "EvaluateConfig",
    "LoraConfig",
    "ModelConfig",
    "RolloutConfig",
    "SourceConfig",
    "TADConfig",
    "Variant",
    "VariantConfig",
    "WindowConfig",
    "decoder_of",
    "dump_config",
    "load_config",
    "naming_lines",
    "own_decoder",
    "parse_config",
    "validated",
    "variants",
]
