"""A model that is served: its weights, its tokenizer, and how it is decoded where a request does not say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from tad_core.config import DecodeConfig, ModelConfig
from tad_core.data.prompts import encode_text
from tad_core.decoding import DecodeSpec, decode
from tad_core.decoding.decoder_file import read_decoder
from tad_core.decoding.policies import POLICIES
from tad_core.decoding.spec import changed
from tad_core.errors import ConfigError
from tad_core.evaluation.generate import Texts, load_for_inference
from tad_core.evaluation.prompting import chat_text
from tad_core.hub import local_folder
from tad_core.models.base import DiffusionLM
from tad_core.models.loading import load_tokenizer
from tad_core.models.merge import Merge, merged_beside
from tad_core.serving.faults import RequestError
from tad_core.serving.requests import Asked, ChatAsked, TextAsked
from tad_core.workers.threads import set_threads_for

#: Where neither a run nor a decoder file says otherwise: the paper's threshold, and a response that most prompts fit.
FALLBACK = DecodeSpec(
    **{"response_length": 256, "method": "entropy", "threshold": 0.5, **DecodeConfig().as_spec()}
)


@dataclass(frozen=True)
class Source:
    """Where a served model is from.

    Attributes:
        name: by which requests choose it.
        model: the checkpoint.
        adapter: folder of an adapter on it.
        spec: how it is decoded by default, of a run's model; None: what lies beside the weights or the adapter says so.
    """

    name: str
    model: ModelConfig
    adapter: Path | None = None
    spec: DecodeSpec | None = None

    def defaults(self) -> DecodeSpec:
        """How it is decoded where a request does not say.

        Raises:
            ModelError: the decoder file is damaged.
        """
        folders = [f for f in (self.adapter, local_folder(self.model)) if f is not None]
        read = (read_decoder(folder) for folder in folders)
        return self.spec or next((spec for spec in read if spec is not None), FALLBACK)


@dataclass(frozen=True)
class Wish:
    """A request that can be decoded.

    Attributes:
        prompts: token ids of each prompt.
        spec: how; its response length is what the text may have, rounded up to whole blocks.
        most_tokens: of the text.
        choices: responses to each prompt.
        temperature: of the noise.
        seed: of the noise; None: whatever is drawn.
        stops: strings before which the text ends.
    """

    prompts: list[list[int]]
    spec: DecodeSpec
    most_tokens: int
    choices: int
    temperature: float
    seed: int | None
    stops: list[str]


def load_all(sources: Sequence[Source], say: Callable[[Source], None] = lambda source: None) -> list[Served]:
    """All of them; a checkpoint that several are from is read once, and what their adapters leave alone is shared.

    Where no number of CPU threads is set, this process has as many from now on as the largest of them has use for.

    Args:
        sources: what to load.
        say: told each before it is loaded.

    Raises:
        ModelError: a checkpoint or an adapter cannot be used.
    """
    bases: dict[ModelConfig, DiffusionLM] = {}
    often = [source.model for source in sources]
    loaded = []
    for source in sources:
        say(source)
        if often.count(source.model) > 1 and source.model not in bases:
            bases[source.model] = load_for_inference(source.model, None)
        loaded.append(Served.load(source, bases.get(source.model)))
    if all(source.model.threads is None for source in sources):
        set_threads_for(one.model for one in loaded)
    return loaded


class Served:
    """One of the models of a server."""

    def __init__(self, name: str, model: DiffusionLM, texts: Texts, spec: DecodeSpec) -> None:
        self.name, self.model, self.texts, self.spec = name, model, texts, spec
        self._before = encode_text(texts.tokenizer, "a")[:1]
        self._pieces: dict[int, str] = {}

    @classmethod
    def load(cls, source: Source, base: DiffusionLM | None = None) -> Served:
        """From its files.

        Args:
            source: where it is from.
            base: the checkpoint of the source where it is loaded already; it stays as it is.

        Raises:
            ModelError: they cannot be used.
        """
        spec = source.defaults()
        if base is None:
            base = load_for_inference(source.model, source.adapter)
        elif source.adapter is not None:
            base = merged_beside(base, Merge(source.adapter))
        return cls(source.name, base, Texts(load_tokenizer(source.model)), spec)

    def warm_up(self) -> None:
        """On a GPU compile what forwards run, so that the first client does not wait for it."""
        if self.model.device.type == "cuda":
            spec = DecodeSpec(self.spec.block_length, self.spec.block_length)
            decode(self.model, [[self.model.eos_token_id]], spec, 1)

    def limit(self, width: int) -> int:
        """Most tokens of a prompt with its response, where the server gives so many."""
        return min(width, self.model.max_positions or width)

    def wish(self, asked: Asked, width: int) -> Wish:
        """What a body asks of this model.

        Args:
            asked: the body.
            width: most tokens of a prompt with its response on this server.

        Raises:
            RequestError: naming what cannot be done.
        """
        most = asked.most_tokens or self.spec.response_length
        spec = self._spec(asked, most)
        prompts = self._prompts(asked)
        place = "messages" if isinstance(asked, ChatAsked) else "prompt"
        limit = self.limit(width)
        for ids in prompts:
            if not ids:
                raise RequestError(
                    400, f"{place}: it has no tokens; every prompt needs at least one", place, "empty_prompt"
                )
            if len(ids) + spec.response_length > limit:
                raise RequestError(
                    400,
                    f"{place}: {len(ids)} tokens and a response of {spec.response_length} are more than the {limit} "
                    f"that {self.name} takes here; shorten the prompt or max_tokens",
                    place,
                    "context_length_exceeded",
                )
        return Wish(prompts, spec, most, asked.n or 1, asked.temperature or 0.0, asked.seed, asked.stops)

    def _spec(self, asked: Asked, most: int) -> DecodeSpec:
        given = asked.decoding()
        if "threshold" in given and "method" not in given and POLICIES[self.spec.method].knob != "threshold":
            given["method"] = "entropy"
        block = int(given.get("block_length", self.spec.block_length))
        if self.spec.attention == "block_causal" and block != self.spec.block_length:
            raise RequestError(
                400,
                f"block_length: {block} is not accepted; {self.name} reads in blocks of {self.spec.block_length}, as "
                "it was trained; leave it out",
                "block_length",
                "invalid_value",
            )
        length = -(-most // block) * block
        own = self.spec.forward_budget
        if own is not None and given.get("method", self.spec.method) == self.spec.method:
            # Of a response as long as the model's own: as many for a token, and one at least for each block.
            budget = max(length // block, round(own * length / self.spec.response_length))
            given.setdefault("forward_budget", min(length, budget))
        try:
            return changed(self.spec, {**given, "response_length": length})
        except ConfigError as error:
            raise RequestError(400, str(error), str(error).split(":")[0], "invalid_value") from None

    def _prompts(self, asked: Asked) -> list[list[int]]:
        if isinstance(asked, ChatAsked):
            try:
                text = chat_text(self.texts.tokenizer, [message.plain for message in asked.messages])
            # A template is a program of the checkpoint's.
            except (TemplateError, TypeError, ValueError) as error:
                raise RequestError(
                    400,
                    f"messages: the model's chat template does not take them ({error})",
                    "messages",
                    "invalid_value",
                ) from None
            return [encode_text(self.texts.tokenizer, text)]
        assert isinstance(asked, TextAsked)
        return [self._ids(prompt) for prompt in asked.prompts]

    def _ids(self, prompt: str | Sequence[int]) -> list[int]:
        if isinstance(prompt, str):
            return encode_text(self.texts.tokenizer, prompt)
        if strangers := [token for token in prompt if not 0 <= token < self.model.vocab_size]:
            raise RequestError(
                400, f"prompt: token {strangers[0]} is not of the model's vocabulary; use 0 to "
                f"{self.model.vocab_size - 1}", "prompt", "invalid_value",
            )  # fmt: skip
        return list(prompt)

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Each token as it is written behind another: with the space that some tokenizers put between words."""
        for token in set(ids) - self._pieces.keys():
            alone, behind = self.texts.token_strings([token])[0], self._written([*self._before, token])
            before = self._written(self._before)
            self._pieces[token] = behind[len(before) :] if behind.startswith(before) else alone
        return [self._pieces[token] for token in ids]

    def _written(self, ids: Sequence[int]) -> str:
        return str(self.texts.tokenizer.decode(list(ids), skip_special_tokens=False))

    def described(self, created: int, width: int) -> dict[str, Any]:
        """As /v1/models lists it."""
        return {
            "id": self.name, "object": "model", "created": created, "owned_by": "tad",
            "max_model_len": self.limit(width), "decoder": asdict(self.spec),
        }  # fmt: skip
