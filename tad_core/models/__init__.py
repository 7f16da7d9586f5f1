"""Model families behind one interface; importing this registers them with transformers' Auto classes.

``import tad_core`` alone stays light (no torch); ``import tad_core.models`` is what makes
``AutoModel.from_pretrained`` read the checkpoints with the classes here, without any code from the hub.
"""

from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from tad_core.families import FAMILIES
from tad_core.models.base import ROLES, DiffusionLM, right_pad
from tad_core.models.classes import FAMILIES as _CLASSES
from tad_core.models.dream import DreamConfig, DreamModel
from tad_core.models.llada import LLaDAConfig, LLaDAModelLM

for _type, (_config, _model) in _CLASSES.items():
    AutoConfig.register(_type, _config, exist_ok=True)
    AutoModel.register(_config, _model, exist_ok=True)
    if FAMILIES[_type].causal_auto:
        AutoModelForCausalLM.register(_config, _model, exist_ok=True)

__all__ = [
    "ROLES",
    "DiffusionLM",
    "DreamConfig",
    "DreamModel",
    "LLaDAConfig",
    "LLaDAModelLM",
    "right_pad",
]
