"""Model families behind one interface; importing this registers them with transformers' Auto classes."""

from transformers import AutoConfig, AutoModel

from tad_core.models.base import ROLES, DiffusionLM, right_pad
from tad_core.models.llada import LLaDAConfig, LLaDAModelLM

AutoConfig.register("llada", LLaDAConfig, exist_ok=True)
AutoModel.register(LLaDAConfig, LLaDAModelLM, exist_ok=True)

__all__ = ["ROLES", "DiffusionLM", "LLaDAConfig", "LLaDAModelLM", "right_pad"]
