"""A model family that shares no name with those that there are: the two files of it, and a checkpoint.

It computes as LLaDA does, so that the small model's weights are its own under other names.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file

OUTSIDE = '''"""Third, which has its own name for everything."""

from tad_core.families.base import Family, Names, head_size, layer_count, size


def shapes(config):
    """See ``Family.shapes``."""
    width, heads = size(config, "wide", 64), size(config, "eyes", 4)
    keys = head_size("wide", width, "eyes", heads) * size(config, "ears", heads)
    inner, rows = size(config, "inner", 128), FAMILY.vocabulary(config)
    out = {"body.words.weight": (rows, width)}
    for i in range(layer_count(config, "deep", 2)):
        layer = {"n1": (width,), "n2": (width,), "a": (width, width), "b": (keys, width), "c": (keys, width),
                 "d": (width, width), "e": (inner, width), "f": (inner, width), "g": (width, inner)}
        out |= {f"body.floors.{i}.{name}.weight": shape for name, shape in layer.items()}
    return out | {"body.last.weight": (width,), "body.say.weight": (rows, width)}


FAMILY = Family(
    name="third", home="no/Third",
    config_class="tad_core.models.third:ThirdConfig", model_class="tad_core.models.third:ThirdModel",
    accepts={"tied": (False,)},
    names=Names("wide", "deep", "eyes", "ears", "inner", ("words",), "long"),
    rows=600,
    shapes=shapes,
    roles={role: rf".*\\.floors\\.\\d+\\.{name}" for role, name in
           zip(("q", "k", "v", "o", "gate", "up", "down"), "abcdefg", strict=True)},
    turn_end="<|over|>",
    with_system=lambda prompt, note: f"<|start_header_id|>system<|end_header_id|>\\n\\n{note}<|over|>{prompt}",
)
'''

INSIDE = '''"""What Third computes."""

from torch import nn

from tad_core.checkpoint import check_fields
from tad_core.families.third import FAMILY
from tad_core.models.base import PretrainedConfig
from tad_core.models.transformer import Layer, Parts, RMSNorm, TransformerLM


class ThirdConfig(PretrainedConfig):
    """Its config.json."""

    model_type = "third"

    def __init__(self, wide=64, deep=2, eyes=4, ears=4, inner=128, words=600, long=512, theta=5e5, eps=1e-5,
                 mask_token_id=0, eos_token_id=1, **rest):
        check_fields(self.model_type, rest)
        self.wide, self.deep, self.eyes, self.ears, self.inner = wide, deep, eyes, ears, inner
        self.words, self.long, self.theta, self.eps, self.mask_token_id = words, long, theta, eps, mask_token_id
        rest.setdefault("tie_word_embeddings", False)
        super().__init__(eos_token_id=eos_token_id, **rest)


class Floor(Layer):
    """One layer."""

    def __init__(self, config):
        super().__init__(config.wide // config.eyes)
        keys = self.head_size * config.ears
        self.n1, self.n2 = RMSNorm(config.wide, config.eps), RMSNorm(config.wide, config.eps)
        for name, rows, columns in (("a", config.wide, config.wide), ("b", keys, config.wide),
                                    ("c", keys, config.wide), ("d", config.wide, config.wide),
                                    ("e", config.inner, config.wide), ("f", config.inner, config.wide),
                                    ("g", config.wide, config.inner)):
            setattr(self, name, nn.Linear(columns, rows, bias=False))

    def parts(self):
        """See ``Layer.parts``."""
        return Parts(self.n1, self.a, self.b, self.c, self.d, self.n2, self.e, self.f, self.g)


class ThirdModel(TransformerLM):
    """Its weights."""

    config_class = ThirdConfig
    base_model_prefix = "body"
    family = FAMILY.name
    role_patterns = FAMILY.roles

    def __init__(self, config):
        super().__init__(config)
        self.body = nn.ModuleDict({
            "words": nn.Embedding(config.words, config.wide),
            "floors": nn.ModuleList(Floor(config) for _ in range(config.deep)),
            "last": RMSNorm(config.wide, config.eps),
            "say": nn.Linear(config.wide, config.words, bias=False),
        })
        self.post_init()

    @property
    def max_positions(self):
        """See ``DiffusionLM``."""
        return self.config.long

    def token_embedding(self):
        """See ``TransformerLM``."""
        return self.body["words"]

    def layers(self):
        """See ``TransformerLM``."""
        return list(self.body["floors"])

    def final_norm(self):
        """See ``TransformerLM``."""
        return self.body["last"]

    def output_head(self):
        """See ``TransformerLM``."""
        return self.body["say"]

    def rope_settings(self):
        """See ``TransformerLM``."""
        return self.config.wide // self.config.eyes, self.config.theta
'''

_LAYER = {"attn_norm": "n1", "ff_norm": "n2", "q_proj": "a", "k_proj": "b", "v_proj": "c", "attn_out": "d",
          "ff_proj": "e", "up_proj": "f", "ff_out": "g"}  # fmt: skip
_TOP = {"wte": "words", "ln_f": "last", "ff_out": "say"}


def checkpoint(llada: Path, folder: Path) -> Path:
    """The weights and words of a LLaDA as the family's own; a turn ends with another token."""
    shutil.copytree(llada, folder)
    old = json.loads((folder / "config.json").read_text())
    config = {
        "model_type": "third", "wide": old["d_model"], "deep": old["n_layers"], "eyes": old["n_heads"],
        "ears": old["n_kv_heads"], "inner": old["mlp_hidden_size"], "words": old["embedding_size"],
        "long": old["max_sequence_length"], "theta": old["rope_theta"], "eps": old["rms_norm_eps"],
    } | {name: old[name] for name in ("mask_token_id", "eos_token_id", "pad_token_id")}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    save_file(
        {_renamed(key): value for key, value in load_file(folder / "model.safetensors").items()},
        folder / "model.safetensors",
    )
    for file in (
        folder / name for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
    ):
        file.write_text(file.read_text().replace("<|eot_id|>", "<|over|>"))
    return folder


def _renamed(key: str) -> str:
    found = re.fullmatch(r"model\.transformer\.(?:blocks\.(\d+)\.)?(\w+)\.weight", key)
    assert found, key
    at, name = found.groups()
    return f"body.{_TOP[name]}.weight" if at is None else f"body.floors.{at}.{_LAYER[name]}.weight"
