"""``tad``, a model class of lm-eval, registered when this module is imported."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM, CacheHook
from lm_eval.api.registry import register_model
from lm_eval.utils import simple_parse_args_string

from tad_core.artifacts.components import component_fields
from tad_core.artifacts.fingerprint import fingerprint, folder_fingerprint
from tad_core.checkpoint import model_fingerprint
from tad_core.config import DecodeConfig, ModelConfig, validated
from tad_core.decoding import Decoded, DecodeSpec, OnDecoded
from tad_core.decoding.decoder_file import as_trained, check_as_trained
from tad_core.decoding.spec import wrong_type
from tad_core.errors import ConfigError, ModelError
from tad_core.evaluation.answers import cut_before
from tad_core.evaluation.asked import check_asked, refuse_numbers, refuse_unknown
from tad_core.evaluation.generate import Generator, Texts
from tad_core.evaluation.prompting import chat_text
from tad_core.fitting import tell
from tad_core.hub import local_folder

#: (task name, number of the document, number of the request for it): what lm-eval calls a request.
RequestKey = tuple[str, int, int]
Decode = Callable[[Sequence[Instance], OnDecoded], list[Decoded]]
OnAnswers = Callable[[Sequence[Instance], Sequence[str]], None]

#: Where a file of ``--use_cache`` says whose answers it holds.
_OWNER = "tad"

#: Arguments of the checkpoint beside ``pretrained``, and those of them that are text.
_MODEL_TEXTS = ("dtype", "device", "revision")
_MODEL_FIELDS = (*_MODEL_TEXTS, "threads")

#: What a field of the decoder takes, by its type.
_WORDS = {"int": "a whole number", "float": "a number", "bool": "True or False", "str": "a name"}


def key_of(request: Instance) -> RequestKey:
    """The key of a request in ``TadLM.decoded``."""
    return str(request.task_name), int(request.doc_id), int(request.idx)


@register_model("tad")
class TadLM(LM):  # type: ignore[misc]
    """A masked diffusion model that answers all requests of a run together.

    After a run ``decoded`` holds, for each request, what was decoded: forwards, tokens, order. ``made`` lists the
    models that lm-eval has built from arguments, which does not give them back.
    """

    made: ClassVar[list[TadLM]] = []

    def __init__(
        self,
        texts: Texts,
        spec: DecodeSpec,
        decode: Decode,
        on_answers: OnAnswers = lambda requests, texts: None,
        identity: Callable[[], str] | None = None,
    ) -> None:
        super().__init__()
        self._identity = identity
        self.texts, self.spec = texts, spec
        self._decode, self._on_answers = decode, on_answers
        self.decoded: dict[RequestKey, Decoded] = {}

    @classmethod
    def create_from_arg_obj(cls, arg_dict: dict[str, Any], additional_config: Any = None) -> Self:
        """Build from plain arguments: ``pretrained``, ``adapter``, and the fields of ``DecodeSpec``.

        With a ``threshold`` the method is ``entropy``, without one token by token; other defaults are the pipeline's,
        and of a model that reads block by block what its decoder file says of that.

        Raises:
            ConfigError: for an argument that is not known, or a value that is not accepted.
            ModelError: ``pretrained`` is no checkpoint.
        """
        options = _given(arg_dict, additional_config or {})
        refuse_unknown(
            options,
            [
                "pretrained",
                "adapter",
                "batch_size",
                "workers",
                *_MODEL_FIELDS,
                *sorted(DecodeSpec.__dataclass_fields__),
            ],
        )
        refuse_numbers(options, ("pretrained", "adapter", *_MODEL_TEXTS))
        if "pretrained" not in options:
            raise ConfigError("model_args: pretrained is missing; give the folder of a checkpoint")
        model = {"path": str(options.pop("pretrained"))}
        model |= {k: options.pop(k) for k in _MODEL_FIELDS if k in options}
        adapter, workers = options.pop("adapter", None), _count("workers", options.pop("workers", 1), 0)
        together = options.pop("batch_size", 32)
        batch_size: int | Literal["auto"] = (
            "auto" if together == "auto" else _count("batch_size", together, 1, ", or auto")
        )
        options = _decoding(options)
        on_it = Path(adapter) if adapter else None
        with _naming_the_argument():
            base = validated(ModelConfig, model)
            own = as_trained(folder for folder in (on_it, local_folder(base)) if folder is not None)
            spec = DecodeSpec(**{"response_length": 256, **DecodeConfig().as_spec(), **own, **options})
            check_as_trained(spec, own)
            generator = Generator.load(base, on_it, batch_size, workers)
        model = cls.over(generator, spec, lambda: _identity(base, on_it, spec))
        TadLM.made.append(model)
        return model

    @classmethod
    def over(cls, generator: Generator, spec: DecodeSpec, identity: Callable[[], str] | None = None) -> Self:
        """One that has a model decode whatever is asked; ``identity`` names all that decides an answer."""

        def decode(requests: Sequence[Instance], on_decoded: OnDecoded) -> list[Decoded]:
            prompts = [generator.encode_text(r.args[0]) for r in requests]
            return generator.decode(prompts, spec, on_decoded=on_decoded)

        return cls(generator, spec, decode, identity=identity)

    @classmethod
    def create_from_arg_string(cls, arg_string: str, additional_config: Any = None) -> Self:
        """The same from ``a=b,c=d``, as lm-eval's command line gives it."""
        return cls.create_from_arg_obj(simple_parse_args_string(arg_string), additional_config)

    def set_cache_hook(self, cache_hook: CacheHook) -> None:
        """Take lm-eval's cache of answers (``--use_cache``) if they are this model's.

        lm-eval finds an answer by its prompt alone, and would give those of the first model that wrote into the file.

        Raises:
            ConfigError: it holds answers of another model or decoder, or of whom is not known.
        """
        answers = cache_hook.dbdict
        if answers is not None and self._identity is not None:
            mine = self._identity()
            owner = answers.get(_OWNER) if len(answers) else mine
            if owner != mine:
                whose = "another model or decoder" if owner else "a model that it does not name"
                raise ConfigError(
                    f"--use_cache: {answers.filename} holds the answers of {whose}, and lm-eval would take them for "
                    "this one's; give each model and decoder a file of its own"
                )
            answers[_OWNER] = mine
        super().set_cache_hook(cache_hook)

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Decode all requests; texts in their order, each cut before the first of its ``until`` strings.

        lm-eval's cache of answers has each as soon as it is decoded: a command that is killed goes on from them.
        """

        def keep(found: Mapping[int, Decoded]) -> None:
            for place, one in found.items():
                request = requests[place]
                self.cache_hook.add_partial("generate_until", request.args, self._answer(request, one))

        check_asked((request.args[1] for request in requests), self.spec)
        _say_if_drawn(requests)
        decoded = self._decode(requests, keep)
        texts = [self._answer(request, one) for request, one in zip(requests, decoded, strict=True)]
        self.decoded |= {key_of(request): one for request, one in zip(requests, decoded, strict=True)}
        self._on_answers(requests, texts)
        return texts

    def _answer(self, request: Instance, decoded: Decoded) -> str:
        return cut_before(self.texts.text(decoded), _until(request.args[1]))

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Not offered: a masked diffusion model has no exact likelihood."""
        raise NotImplementedError(
            "a masked diffusion model has no exact likelihood; use generate_until tasks"
        )

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """Not offered: see ``loglikelihood``."""
        raise NotImplementedError(
            "a masked diffusion model has no exact likelihood; use generate_until tasks"
        )

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """The text of a chat, ready for the response to follow.

        Without ``add_generation_prompt`` the last message is the assistant's and is to be continued.
        """
        assert add_generation_prompt != (chat_history[-1]["role"] == "assistant"), chat_history
        return chat_text(self.texts.tokenizer, chat_history)

    def chat_template(self, chat_template: bool | str = False) -> str:
        """The template itself, for lm-eval's record of the run; another one cannot be chosen."""
        if isinstance(chat_template, str):
            raise ConfigError(
                f"apply_chat_template: {chat_template!r}; the checkpoint's own template is the only one, give no name"
            )
        return str(self.texts.tokenizer.chat_template)

    @property
    def tokenizer_name(self) -> str:
        """Part of the name of lm-eval's own request cache."""
        return str(self.texts.tokenizer.name_or_path).replace("/", "__")


def _given(arguments: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
    """``--model_args``, and of lm-eval's ``others`` what somebody said."""
    own = {name: others.get(name) for name in ("batch_size", "device")}
    # What lm-eval's command line says where nobody said anything.
    unsaid = {"batch_size": (None, 1, "1", "auto"), "device": (None,)}
    said = {name: value for name, value in own.items() if value not in unsaid[name]}
    return {k: v for k, v in {**said, **arguments}.items() if k not in DecodeConfig.GONE}


def _count(name: str, value: Any, least: int, otherwise: str = "") -> int:
    """A whole number; lm-eval hands over what it took for one, or the text."""
    text = "" if isinstance(value, bool) else str(value)
    if not text.isdecimal() or int(text) < least:
        raise ConfigError(
            f"model_args: {name}: {value!r} is not accepted; use a whole number from {least} on{otherwise}"
        )
    return int(text)


def _decoding(options: dict[str, Any]) -> dict[str, Any]:
    """Fields of ``DecodeSpec``, each of its type: a text where a yes or no belongs would be taken for yes."""
    for name, value in options.items():
        if (kind := wrong_type(name, value)) is not None:
            raise ConfigError(f"model_args: {name}: {value!r} is not accepted; use {_WORDS[kind]}")
    return {"method": "entropy", **options} if "threshold" in options else options


@contextmanager
def _naming_the_argument() -> Iterator[None]:
    """What is wrong with a configuration's ``model`` is here wrong with an argument."""
    try:
        yield
    except ConfigError as error:
        named = re.sub(r"^path\b", "pretrained", str(error), flags=re.MULTILINE)
        fields = "|".join(("pretrained", *_MODEL_FIELDS))
        raise type(error)(re.sub(rf"^(?={fields})", "model_args: ", named, flags=re.MULTILINE)) from None
    except ModelError as error:
        named = re.sub(r"^model\.path: ", "model_args: pretrained: ", str(error))
        named = re.sub(rf"^model\.({'|'.join(_MODEL_FIELDS)})\b", r"model_args: \1", named)
        raise type(error)(named) from error.__cause__


def _identity(model: ModelConfig, adapter: Path | None, spec: DecodeSpec) -> str:
    """Of all that decides an answer beside its prompt."""
    fields = {
        "model": model_fingerprint(model),
        "dtype": model.dtype,
        "adapter": folder_fingerprint(adapter, (".safetensors", ".json")) if adapter else None,
        "spec": dataclasses.asdict(spec),
        **component_fields("decode"),
    }
    return fingerprint("lm-eval answers", 1, fields, [])


def _until(settings: dict[str, Any]) -> list[str]:
    until = settings.get("until") or []
    return [until] if isinstance(until, str) else list(until)


def _say_if_drawn(requests: Sequence[Instance]) -> None:
    """Of tasks that ask for sampling, by their settings or ``--gen_kwargs``."""
    if heats := {_heat(request.args[1]) for request in requests} - {0.0}:
        tell(
            f"warning: a task asks for answers that are drawn (temperature {max(heats):g}); they are greedy here, "
            "and repeats of a request alike"
        )


def _heat(settings: dict[str, Any]) -> float:
    """The temperature that a request asks for; 0 is greedy. As lm-eval's models for transformers read it.

    Raises:
        ConfigError: it is no number.
    """
    drawn, heat = settings.get("do_sample"), settings.get("temperature")
    if drawn is False or (not drawn and not heat):
        return 0.0
    try:
        return 1.0 if heat is None else float(heat)
    except (TypeError, ValueError):
        raise ConfigError(
            f"gen_kwargs: temperature: {heat!r} is not accepted; use a number from 0 on"
        ) from None
