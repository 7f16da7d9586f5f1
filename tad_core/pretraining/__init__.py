"""Pretraining of the small base model: LLaDA's masked-diffusion objective on generated problems.

The base learns easy problems from plain prompts and problems of every difficulty from privileged prompts, as a
real base model knows more with the answer at hand than without.
"""

from __future__ import annotations

from tad_core.pretraining.config import CorpusConfig, PretrainConfig, load_pretrain_config
from tad_core.pretraining.corpus import Batches, Corpus, draw_sample, encode_corpus
from tad_core.pretraining.objective import diffusion_loss, draw_masks
from tad_core.pretraining.train import pretrain

__all__ = [
    "Batches",
    "Corpus",
    "CorpusConfig",
    "PretrainConfig",
    "diffusion_loss",
    "draw_masks",
    "draw_sample",
    "encode_corpus",
    "load_pretrain_config",
    "pretrain",
]
