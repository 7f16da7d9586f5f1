"""What ``tad serve`` and ``tad generate`` are told to load: words on a command line.

``[NAME=]WHAT``, where WHAT is a run's file (``demo.yaml``: its base and every model it has distilled;
``demo.yaml:speed``: one), the folder of a checkpoint, of an export or of an adapter, a hub id with its commit
(``org/name@commit``), or a base and an adapter on it (``BASE+ADAPTER``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from tad_core.artifacts import Store
from tad_core.checkpoint import check_model
from tad_core.config import BASE, ModelConfig, TADConfig, variants
from tad_core.errors import ArtifactError, ConfigError, ModelError
from tad_core.evaluation.decoders import operating_spec
from tad_core.models.merge import ADAPTER_CONFIG, Merge, read_adapter
from tad_core.serving.served import Source
from tad_core.stages.export import find_model
from tad_core.stages.variants import names_to_offer
from tad_core.weights import shapes_of

DType = Literal["float32", "bfloat16"]
_NAME = re.compile(r"^[\w.\-/:]{1,96}$")
_RUN = re.compile(r"^(?P<file>.+\.ya?ml)(?::(?P<mode>[a-z0-9_-]+))?$")


@dataclass(frozen=True)
class Hardware:
    """On what models run.

    Attributes:
        dtype: of the weights; None: a run's own, else bfloat16 on a GPU and float32 on a CPU.
        device: auto, cpu, cuda or cuda:N; None: a run's own, else auto.
        threads: of a CPU.
    """

    dtype: DType | None = None
    device: str | None = None
    threads: int | None = None


def sources_of(words: Sequence[str], hardware: Hardware, read: Callable[[Path], TADConfig]) -> list[Source]:
    """Every model that the words name, checked as far as that is cheap: files, shapes, the adapter's base.

    Args:
        words: of the command line.
        hardware: on what they run.
        read: reads a run's file.

    Raises:
        ConfigError: a word means nothing, or two models have one name.
        ArtifactError: a run has not come to a model.
        ModelError: a checkpoint or an adapter cannot be used.
    """
    found = [(word, source) for word in words for source in _sources(word, hardware, read)]
    sources = [source for _, source in found]
    names = [source.name for source in sources]
    for name in names:
        if names.count(name) > 1:
            word = next(word for word, source in reversed(found) if source.name == name)
            one = word if [w for w, _ in found].count(word) == 1 or not _RUN.match(word) else f"{word}:{name}"
            raise ConfigError(
                f"MODEL: two are called {name!r}; give one another name, as in other={_what(one)}"
            )
        if not _NAME.match(name):
            raise ConfigError(f"MODEL: {name!r} is not a name; use letters, digits, and . - _ / :")
    for source in sources:
        with _naming_the_argument(source):
            shapes = shapes_of(check_model(source.model))
        if source.adapter is not None:
            Merge(source.adapter).check(shapes, source.model.path)
        source.defaults()
    return sources


@contextmanager
def _naming_the_argument(source: Source) -> Iterator[None]:
    """Of a checkpoint that was typed, the fault is of that argument; of a run's, of its file's ``model``."""
    try:
        yield
    except ModelError as error:
        if source.spec is not None:
            raise
        raise type(error)(re.sub(r"^model\.(path|revision): ", "MODEL: ", str(error))) from error.__cause__


def _sources(word: str, hardware: Hardware, read: Callable[[Path], TADConfig]) -> list[Source]:
    what = _what(word)
    name = word.removesuffix(what).removesuffix("=")
    if (run := _RUN.match(what)) and not Path(what).is_dir():
        found = _of_run(read(Path(run["file"])), run["mode"], hardware)
        if name and len(found) > 1:
            raise ConfigError(
                f"MODEL: {word!r} names {len(found)} models; say which, as in {name}={run['file']}:{found[-1].name}"
            )
        return [replace(source, name=name or source.name) for source in found]
    base, plus, adapter = what.partition("+")
    if Path(what).exists() or not plus:
        return [_of_folder(name, what, hardware)]
    return [Source(name or Path(adapter).name, _model(base, hardware), Path(adapter).expanduser())]


def _what(word: str) -> str:
    """The word without the name that it gives."""
    _, equals, what = word.partition("=")
    return word if not equals or Path(word).exists() else what


def _of_run(config: TADConfig, mode: str | None, hardware: Hardware) -> list[Source]:
    if mode is not None and mode != BASE and mode not in variants(config):
        known = ", ".join([BASE, *names_to_offer(config)])
        raise ConfigError(f"MODEL: {mode!r} is no model of the run; use one of {known}")
    store = Store(config.store)
    given = {k: v for k, v in vars(hardware).items() if v is not None}
    found = []
    for each in [mode] if mode else dict.fromkeys((BASE, *config.evaluate.models)):
        try:
            base, adapter = (config.model, None) if each == BASE else find_model(config, each, store)
        except ArtifactError:
            if mode:
                raise
            continue
        model = base.model_copy(update=given)
        found.append(Source(each, model, adapter, operating_spec(config, each)))
    return found


def _of_folder(name: str, what: str, hardware: Hardware) -> Source:
    folder = Path(what).expanduser()
    if not (folder / ADAPTER_CONFIG).is_file() or (folder / "config.json").is_file():
        model = _model(what, hardware)
        return Source(name or Path(model.path).name, model)
    settings = read_adapter(folder)
    base, revision = settings.get("base_model_name_or_path"), settings.get("revision")
    if not isinstance(base, str) or not base:
        raise ConfigError(f"MODEL: the adapter {what} does not name its base; give it, as in BASE+{what}")
    return Source(name or folder.name, _model(f"{base}@{revision}" if revision else base, hardware), folder)


def _model(what: str, hardware: Hardware) -> ModelConfig:
    path, _, revision = (what, "", "") if Path(what).expanduser().exists() else what.partition("@")
    device = hardware.device or "auto"
    on_gpu = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    dtype: DType = hardware.dtype or ("bfloat16" if on_gpu else "float32")
    return ModelConfig(
        path=path, revision=revision or None, dtype=dtype, device=device, threads=hardware.threads
    )
