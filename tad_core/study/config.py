"""The file of a study: which run, which variants, seeds and decoders, and how much each variant is trained."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, JsonValue, model_validator

from tad_core.config import BASE, TADConfig, VariantConfig, parse_config, validated
from tad_core.config.decoders import TOKEN_BY_TOKEN, DecoderConfig
from tad_core.config.document import STUDY, read_document
from tad_core.config.extending import read_run
from tad_core.config.loading import overridden
from tad_core.decoding.spec import DecodeSpec
from tad_core.errors import ConfigError
from tad_core.evaluation.decoders import specs_of
from tad_core.evaluation.reading import as_read
from tad_core.settings import RUNTIME, Seed, Strict
from tad_core.study.faults import as_of_study, label_fault, setting_faults, variant_faults

#: between the parts of a cell's name
MARK = "/"
_NAME = r"^[a-z0-9]([a-z0-9_.-]{0,38}[a-z0-9])?$"
Named = Annotated[str, Field(pattern=_NAME)]


class StudyDecoder(DecoderConfig):
    """A decoder of a study, and what it is called."""

    label: str | None = Field(None, pattern=r"\S", max_length=32, description="Its name for readers.")


class ReportConfig(Strict):
    """Which variants stand for what in the tables; a table whose variants the study lacks is left out."""

    ours: str | None = Field(None, description="The variant all others are held against; default: the first.")
    decoder: str | None = Field(
        None, description="The decoder of the tables; default: the first that is not token by token."
    )
    objectives: list[str] = Field([], description="Rows of the table of objectives, near and distant.")
    data: list[str] = Field([], description="Rows of the table of data and training strategies.")
    windows: list[str] = Field([], description="Rows of the table of windows.")
    weights: list[str] = Field([], description="Rows of the table of the distant loss's weights.")


class StudyConfig(Strict):
    """A matrix of variants, seeds and decoders."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", description="Name of the study.")
    config: str = Field(description="YAML file of the run it varies, from the folder of this file.")
    set: dict[str, JsonValue] = Field(
        {}, description="Settings of that run changed, as section.field: value."
    )
    states: int = Field(ge=1, description="States that each variant is trained on: one budget for all.")
    seeds: list[Seed] = Field([0, 1, 2], min_length=1, description="Training seeds.")
    variants: dict[str, VariantConfig] = Field(
        min_length=1,
        description="The models trained, as in the table of models of a run; the base is always there.",
    )
    decoders: dict[Named, StudyDecoder] = Field(
        min_length=1, description="Ways of decoding; one of them token by token, without a cache."
    )
    side_by_side: int = Field(
        0,
        ge=0,
        le=256,
        description="Trainings and evaluations at once, over all GPUs; 0: twelve a GPU, or one a core.",
        json_schema_extra=RUNTIME,
    )
    at_most_in_one_pass: int = Field(
        4,
        ge=1,
        description="Variants trained together, where their states are the same: fewer fill more processes.",
        json_schema_extra=RUNTIME,
    )
    report: ReportConfig = Field(ReportConfig(), description="Roles of variants in the tables.")

    @model_validator(mode="before")
    @classmethod
    def _bare_entries(cls, given: Any) -> Any:
        """``name:`` with nothing behind it is an entry with every default."""
        if not isinstance(given, dict):
            return given
        tables = {n: t for n in ("variants", "decoders") if isinstance(t := given.get(n), dict)}
        filled = {n: {name: {} if e is None else e for name, e in t.items()} for n, t in tables.items()}
        return {**given, **filled}

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds: {self.seeds} names one twice; leave it out")
        exact = self.exact
        if len(exact) != 1:
            raise ValueError(
                f"decoders: {len(exact)} of them decode token by token without a cache; name exactly one, where every "
                f"curve begins: tokenwise: {{method: {TOKEN_BY_TOKEN}}}"
            )
        if fault := label_fault({name: decoder.label for name, decoder in self.decoders.items()}):
            raise ValueError(fault)
        known = [BASE, *self.variants]
        if self.report.decoder is not None and self.report.decoder not in self.decoders:
            raise ValueError(
                f"report.decoder: {self.report.decoder!r} is not a decoder; use one of {', '.join(self.decoders)}"
            )
        for field in ("ours", "objectives", "data", "windows", "weights"):
            given: str | list[str] | None = getattr(self.report, field)
            named = [given] if isinstance(given, str) else given or []
            if unknown := [name for name in named if name not in known]:
                raise ValueError(
                    f"report.{field}: {unknown[0]!r} is not a variant; use one of {', '.join(known)}"
                )
            if twice := [name for i, name in enumerate(named) if name in named[:i]]:
                raise ValueError(f"report.{field}: {twice[0]!r} is named twice; leave one out")
        return self

    @property
    def exact(self) -> list[str]:
        """The decoders that decode token by token without a cache."""
        return [n for n, d in self.decoders.items() if d.method == TOKEN_BY_TOKEN and d.cache.mode == "none"]

    @property
    def slowest(self) -> str:
        """The decoder where every curve begins."""
        return self.exact[0]

    @property
    def headline(self) -> str:
        """The decoder of the tables."""
        parallel = (name for name in self.decoders if name != self.slowest)
        return self.report.decoder or next(parallel, self.slowest)

    @property
    def ours(self) -> str:
        """The variant that the others are held against."""
        return self.report.ours or next(iter(self.variants))


@dataclass(frozen=True)
class Study:
    """A study that was read and checked.

    Attributes:
        config: the file.
        run: the run it varies, with the study's variants as its table of models and its first seed.
        specs: for each decoder how it decodes, by threshold.
    """

    config: StudyConfig
    run: TADConfig
    specs: dict[str, dict[float, DecodeSpec]]

    def specs_of(self, model: str) -> dict[str, dict[float, DecodeSpec]]:
        """The same as a model reads them: one that was trained block by block is decoded so."""
        return {
            name: {threshold: as_read(self.run, model, spec) for threshold, spec in specs.items()}
            for name, specs in self.specs.items()
        }

    def stored(self, store: str) -> Study:
        """The same in another store."""
        return replace(self, run=self.run.model_copy(update={"store": store}))

    def seeded(self, seed: int) -> TADConfig:
        """The run with a training seed."""
        return self.run.model_copy(update={"distill": self.run.distill.model_copy(update={"seed": seed})})


def load_study(path: str | Path, overrides: Iterable[str] = (), store: str | None = None) -> Study:
    """Read the file of a study and the run that it names; everything about settings that can be wrong is found here.

    Args:
        path: of the YAML file.
        overrides: ``section.field=value`` of the study; ``set.section.field`` of its run.
        store: another folder or URL for everything that is made.

    Raises:
        ConfigError: with every problem found, one line each.
    """
    path = Path(path)
    document = overridden(read_document(path, STUDY), overrides)
    config = validated(StudyConfig, document.tree, document)
    base = path.parent / config.config
    if not base.is_file():
        raise ConfigError(
            f"config: {base} does not exist; name the file of a run, from the folder of {path.name}"
        )
    settings = list(_settings(config.set))
    if faults := list(setting_faults(item.partition("=")[0] for item in settings)):
        raise ConfigError("\n".join(faults))
    tree = overridden(read_run(base), settings).tree
    study = expanded(config, tree)
    return study if store is None else study.stored(store)


def expanded(config: StudyConfig, tree: dict[str, Any]) -> Study:
    """The study of a plain tree of its run.

    Raises:
        ConfigError: a variant is none of that run, decoders do not fit it, or the budget is not whole steps.
    """
    table = {
        name: given.model_dump(mode="json", exclude_unset=True) for name, given in config.variants.items()
    }
    evaluate = {**tree.get("evaluate", {}), "models": [BASE, *table], "harness": "direct"}
    try:
        run = parse_config({**tree, "name": config.name, "models": table, "evaluate": evaluate})
    except ConfigError as error:
        raise ConfigError(as_of_study(str(error))) from None
    if len(run.evaluate.tasks) != 1:
        names = ", ".join(task.name for task in run.evaluate.tasks)
        raise ConfigError(
            f"evaluate.tasks: {names}; a study measures one data set: keep one of them, in the study by "
            "set: {evaluate.tasks: [...]}"
        )
    given: dict[str, Any] = run.evaluate.decode.model_dump(mode="json")
    decoders = {}
    for name, decoder in config.decoders.items():
        own = decoder.model_dump(mode="json", exclude_unset=True)
        decoders[name] = StudyDecoder.model_validate({**given, **own})
    config = config.model_copy(update={"decoders": decoders})
    if not config.exact:
        raise ConfigError(
            "decoders: 0 of them decode token by token without a cache, with what they have from the run's "
            f"evaluate.decode.cache.mode {run.evaluate.decode.cache.mode!r}; give the one where curves begin "
            "cache: {mode: none}"
        )
    specs: dict[str, dict[float, DecodeSpec]] = {}
    for name, decoder in decoders.items():
        try:
            specs[name] = specs_of(decoder, run)
        except (ConfigError, TypeError) as error:
            raise ConfigError(f"decoders.{name}.{error}") from None
    study = Study(config, _budgeted(config, run), specs)
    for name in table:
        try:
            study.specs_of(name)
        except ConfigError as error:
            raise ConfigError(f"variants.{name}: a decoder does not go with its blocks; {error}") from None
    return study


def _settings(given: Mapping[str, JsonValue], above: str = "") -> Iterator[str]:
    """Overrides as the command line has them; JSON is YAML. A section in a section is what a dot says too."""
    for name, value in given.items():
        if isinstance(value, dict):
            yield from _settings(value, f"{above}{name}.")
        else:
            yield f"{above}{name}={json.dumps(value)}"


def _budgeted(config: StudyConfig, run: TADConfig) -> TADConfig:
    """The run with as many steps as the budget of states is.

    Raises:
        ConfigError: it is not whole steps, or a variant has a budget or a seed of its own.
    """
    faults = list(variant_faults(config.variants, run))
    batch = run.distill.global_batch_size
    if config.states % batch:
        fits = config.states // batch * batch or batch
        faults.append(
            f"states: {config.states} is not a multiple of distill.global_batch_size {batch}; use {fits}"
        )
    if faults:
        raise ConfigError("\n".join(faults))
    steps = config.states // batch
    distill = run.distill.model_copy(update={"max_steps": steps, "seed": config.seeds[0]})
    return run.model_copy(update={"distill": distill})
