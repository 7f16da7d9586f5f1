"""What is known of a model family without its weights and without torch.

Everything else asks here: how the checkpoint is checked, counted, prompted and exported. What the family computes is
its module in ``models``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tad_core.errors import ModelError

#: Tensor -> shape.
Shapes = dict[str, tuple[int, ...]]
#: What a config.json holds.
Fields = Mapping[str, Any]

#: No model of these families has nearly as many.
_MOST_LAYERS = 1024


@dataclass(frozen=True)
class Names:
    """What config.json calls the dimensions of the model; the class of its settings has them as attributes.

    Attributes:
        width: of the residual stream.
        layers: transformer blocks.
        heads: of attention; they divide the width.
        kv_heads: heads of keys and values; null is as many as ``heads``.
        mlp: inner width of the feed-forward part.
        vocabulary: rows of the embedding and of the head; the first that config.json has counts.
        positions: tokens of the longest sequence, prompt and response together.
    """

    width: str
    layers: str
    heads: str
    kv_heads: str
    mlp: str
    vocabulary: tuple[str, ...]
    positions: str


@dataclass(frozen=True)
class Gguf:
    """A family in llama.cpp's words.

    Attributes:
        name: of its architecture in the package ``gguf``.
        shifted: whether the row before a token predicts it.
        paired: ends of the keys whose rows llama.cpp rotates in pairs.
        add_bos: whether a text begins with the token of its beginning.
    """

    name: str
    shifted: bool
    paired: tuple[str, ...] = ()
    add_bos: bool = False


@dataclass(frozen=True)
class Family:
    """One family, as seen from outside of ``models``.

    Attributes:
        name: as prompts and documentation call it.
        home: the original repository, whose code an export points at.
        config_class: ``module:class`` of its settings, a ``PretrainedConfig``.
        model_class: ``module:class`` of the model, a ``DiffusionLM``.
        accepts: fields of config.json that change the architecture, with the values that the class computes. The first
            is what a field that is not there means; whatever is not in this table is trusted.
        names: of the dimensions in config.json.
        rows: of the embedding where config.json does not say.
        shapes: every tensor that a config.json describes and its shape, in the order of the module's own.
        roles: names of a layer's projections by role, as regular expressions matched against a module's whole name.
        turn_end: the token that ends a turn; None where only the end of the text does.
        with_system: a rendered prompt with a note in its system turn.
        qkv_bias: whether queries, keys and values have a bias.
        causal_auto: whether the family's own repository registers the model with ``AutoModelForCausalLM``, too.
        cached: whether the model has ``packed`` and ``new_cache`` of its own, as every ``TransformerLM`` has: needed to
            decode with a cache, and to read block by block.
        gguf: how llama.cpp knows the family; None where it does not.
    """

    name: str
    home: str
    config_class: str
    model_class: str
    accepts: Mapping[str, tuple[Any, ...]]
    names: Names
    rows: int
    shapes: Callable[[Fields], Shapes]
    roles: dict[str, str]
    turn_end: str | None
    with_system: Callable[[str, str], str]
    qkv_bias: bool = False
    causal_auto: bool = False
    cached: bool = True
    gguf: Gguf | None = None

    def vocabulary(self, config: Fields) -> int:
        """Rows of the embedding: token ids are below.

        Raises:
            ModelError: config.json has something that is no number of rows.
        """
        said = next((name for name in self.names.vocabulary if config.get(name) is not None), None)
        return self.rows if said is None else size(config, said, self.rows)


def size(config: Fields, name: str, default: int) -> int:
    """A dimension; null and what is not there mean the default, as for the model's class.

    Raises:
        ModelError: it is no whole number from 1.
    """
    value = config.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ModelError(f"model.path: config.json has {name} {value!r}; it is a whole number from 1")
    return value


def layer_count(config: Fields, name: str, default: int) -> int:
    """The number of layers, before a list of all their tensors is made.

    Raises:
        ModelError: it is no whole number from 1 to 1,024.
    """
    layers = size(config, name, default)
    if layers > _MOST_LAYERS:
        raise ModelError(
            f"model.path: config.json has {name} {layers}; it is a whole number from 1 to {_MOST_LAYERS}"
        )
    return layers


def head_size(width_name: str, width: int, heads_name: str, heads: int) -> int:
    """Numbers of a head.

    Raises:
        ModelError: the heads do not divide the width.
    """
    if width % heads:
        raise ModelError(
            f"model.path: config.json has {width_name} {width} and {heads_name} {heads}; heads divide the width"
        )
    return width // heads
