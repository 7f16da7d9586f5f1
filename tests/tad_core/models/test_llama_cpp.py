"""llama.cpp itself reads the GGUF file, gives our logits, decodes our tokens and splits text as we do.

It comes inside the package cyllama; attention without a causal mask needs the whole sequence in one batch.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tad_core.checkpoint import load_tokenizer
from tad_core.config import ModelConfig
from tad_core.evaluation.generate import load_for_inference
from tad_core.models.gguf_export import export_gguf
from tad_core.models.gguf_vocab import PRE_TOKENIZERS
from tad_core.shipped import FOLDER
from tests.tad_core.models.test_export import make_adapter
from tests.tad_core.models.words import TEXTS, byte_level

pytestmark = pytest.mark.services

IDS = [2, 3, 60, 4, 30, 41, 52, 100, 5] + [1] * 24
#: Of the largest logit, the largest difference. Float32 measured 1e-6 to 4e-6; the other types round the products'
#: inputs, too, which we do not where we compute in float32.
TOLERANCE = {"float32": 2e-5, "float16": 5e-3, "bfloat16": 2e-2}
