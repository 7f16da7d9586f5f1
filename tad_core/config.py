"""The configuration tree: strict, typed, one YAML per set-up, ``--set a.b=c`` on top.

Every field says what it means and what it accepts, because the same text is the error message, the
documentation and the run form of the UI. Fields that cannot change a result (devices, batch sizes,
workers) carry ``RUNTIME`` in their metadata and never enter a fingerprint.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from tad_core.errors import ConfigError
from tad_core.settings import ADDED, RUNTIME, Strict
from tad_core.verify.config import VerifyConfig

Condition = Literal["privileged", "plain"]
ModelName = Literal["base", "quality", "speed", "sft"]


class ModelConfig(Strict):
    """Which checkpoint, and on what it runs."""

    path: str = Field(
        description="The base checkpoint (safetensors + config + tokenizer): a local folder, or a hub id such as "
        "GSAI-ML/LLaDA-8B-Instruct with its revision."
    )
    revision: str | None = Field(
        None, description="Commit hash of a hub id, which pins it; not used for a local folder."
    )
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="Weights and activations.")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.", json_schema_extra=RUNTIME)
    threads: int | None = Field(
        None, ge=1, description="CPU threads per process; default: all cores.", json_schema_extra=RUNTIME
    )


class SourceConfig(Strict):
    """One data source: which problems, how many, and in what order answers are looked for."""

    name: str = Field(description="Name shown in every table; also the lm-eval task name in evaluation.")
    source: str = Field(
        description="Registered source: gsm8k, math, kodcode, table, jsonl, arithmetic, pyfunc, benchmark."
    )
    count: int | None = Field(
        None, ge=1, description="How many problems to take; null takes all that a file or data set has."
    )
    split: Literal["train", "heldout"] = Field(
        "train", description="Disjoint by construction (generators), by files or by hash (data sets)."
    )
    seed: int = Field(0, ge=0, description="Seed of the generators, and of a random sample.")
    # Which problems these two lead to is fingerprinted with the problems themselves.
    sample: Literal["first", "random"] = Field(
        "first",
        description="Which of more problems than count are taken: the first, or a random sample by seed.",
        json_schema_extra=RUNTIME,
    )
    min_count: int | None = Field(
        None,
        ge=1,
        description="The run starts only with at least this many usable problems; null: nine in ten of those asked for "
        "(in evaluation all).",
        json_schema_extra=RUNTIME,
    )
    options: dict[str, int | float | str | bool | list[int] | list[str]] = Field(
        {}, description="Options of the source itself, e.g. min_steps, max_steps, path."
    )


class RolloutConfig(Strict):
    """Token-by-token, block-ordered decoding by the privileged teacher (paper, section 3.2)."""

    seed: int = Field(0, ge=0, description="Seed of the sampling noise.")
    samples: int = Field(1, ge=1, le=64, description="Trajectories per problem.")
    response_length: int = Field(256, ge=2, le=8192, description="Tokens of the response (L).")
    block_length: int = Field(32, ge=1, description="Blocks are finished from left to right.")
    temperature_math: float = Field(0.7, ge=0, le=2, description="Gumbel temperature for math problems.")
    temperature_code: float = Field(0.0, ge=0, le=2, description="Gumbel temperature for code problems.")
    finish_early: bool = Field(
        True,
        description="Stop once every token before the first end-of-text is revealed; the tail is filled in "
        "and marked. False computes every step.",
    )
    compare_plain: int = Field(
        0,
        ge=0,
        description="Also roll out this many problems without the reference, to compare.",
        json_schema_extra=RUNTIME,
    )
    shard_size: int = Field(
        64, ge=1, description="Problems per shard, the unit of resume.", json_schema_extra=RUNTIME
    )
    batch_size: int = Field(32, ge=1, description="Samples decoded together.", json_schema_extra=RUNTIME)
    workers: int | None = Field(
        None,
        ge=1,
        le=64,
        description="Processes that each hold the model; default: one a visible GPU, one on a CPU.",
        json_schema_extra=RUNTIME,
    )
    hosts: int = Field(
        1,
        ge=1,
        le=256,
        description="Machines that decode. Above 1, child runs of worker_deployment take shards too.",
        json_schema_extra=RUNTIME,
    )
    decode_here: bool = Field(
        True,
        description="This run's machine is one of the hosts. False: it only waits for the child runs.",
        json_schema_extra=RUNTIME,
    )
    worker_deployment: str = Field(
        "tad-collect-worker/collect-worker",
        pattern=r"^[^/]+/[^/]+$",
        description="Deployment of the child runs, as flow/deployment.",
        json_schema_extra=RUNTIME,
    )
    lease_s: float = Field(
        60.0,
        ge=0.3,
        description="A shard whose worker has not been heard of for this long is given to another.",
        json_schema_extra=RUNTIME,
    )
    shard_timeout_s: float | None = Field(
        None,
        gt=0,
        description="A worker that takes longer for a shard is killed, and the shard tried again; default: never.",
        json_schema_extra=RUNTIME,
    )
    max_prompt_tokens: int | None = Field(
        None,
        ge=1,
        description="Problems with a longer prompt are left out; default: what the model's positions leave beside the "
        "response. The privileged prompt counts.",
        json_schema_extra=RUNTIME,
    )
    min_kept: int = Field(
        1,
        ge=1,
        description="The run stops if fewer trajectories than this are kept.",
        json_schema_extra=RUNTIME,
    )

    @model_validator(mode="after")
    def _block_divides(self) -> Self:
        if self.response_length % self.block_length:
            fits = [d for d in (8, 16, 32, 64, 128, 256) if self.response_length % d == 0]
            raise ValueError(
                f"block_length: {self.block_length} does not divide response_length "
                f"{self.response_length}; use one of {', '.join(map(str, fits)) or self.response_length}"
            )
        return self


class CalibrateConfig(Strict):
    """Windows from the student's confidence curve (paper, section 3.3)."""

    states: int = Field(512, ge=1, description="States sampled over the kept trajectories.")
    seed: int = Field(0, ge=0, description="Seed of that sample.")
    quality_threshold: float = Field(0.5, gt=0, lt=1, description="Confidence where the Quality window ends.")
    speed_threshold: float = Field(0.2, gt=0, lt=1, description="Confidence where the Speed window ends.")
    quality_cap: int = Field(8, ge=1, description="Quality window if the curve never crosses.")
    speed_cap: int = Field(
        20, ge=1, description="Speed window if the curve never crosses; at least the Quality window."
    )
    smoothing: int = Field(3, ge=1, description="Offsets averaged (count-weighted, centred) before reading.")
    quality_window: int | None = Field(None, ge=1, description="Fixed Quality window; default: calibrated.")
    speed_window: int | None = Field(None, ge=1, description="Fixed Speed window; default: calibrated.")
    batch_size: int = Field(32, ge=1, description="States per forward.", json_schema_extra=RUNTIME)


class LoraConfig(Strict):
    """Adapters on the seven projections of every layer."""

    rank: int = Field(128, ge=1, description="Rank.")
    alpha: int = Field(128, ge=1, description="Scaling numerator: the update is scaled by alpha / rank.")
    dropout: float = Field(0.05, ge=0, lt=1, description="Dropout on the adapter's input.")
    roles: list[Literal["q", "k", "v", "o", "gate", "up", "down"]] = Field(
        ["q", "k", "v", "o", "gate", "up", "down"], min_length=1, description="Projections adapted."
    )


class DistillConfig(Strict):
    """Temporal-aware distillation (paper, section 3.3 and Table 7)."""

    objective: Literal["tad", "sft"] = Field("tad", description="tad, or plain fine-tuning on references.")
    near: Literal["hard", "soft"] = Field("hard", description="Loss on tokens revealed within the window.")
    distant: Literal["soft", "hard", "none"] = Field("soft", description="Loss on tokens revealed later.")
    weight_distant: float = Field(1.0, ge=0, description="Lambda of the distant loss.")
    temperature: float = Field(1.0, gt=0, description="Softmax temperature of the KL.")
    teacher_prompt: Literal["rollout", "system"] = Field(
        "rollout",
        description="Where the teacher reads the reference in training: in the prompt of its rollout, or in the "
        "system turn, as the paper's code does.",
        json_schema_extra=ADDED,
    )
    states_per_trajectory: int = Field(
        256, ge=1, description="States drawn per trajectory and epoch, without replacement; at most L."
    )
    epochs: float = Field(1.0, gt=0, description="Passes over the trajectories.")
    max_steps: int | None = Field(None, ge=1, description="Optimizer steps; overrides epochs.")
    learning_rate: float = Field(2e-5, gt=0, description="Peak learning rate (AdamW).")
    schedule: Literal["constant", "cosine", "linear"] = Field(
        "constant", description="Learning rate schedule."
    )
    warmup_steps: int = Field(0, ge=0, description="Linear warm-up.")
    weight_decay: float = Field(0.01, ge=0, description="AdamW weight decay.")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradient clipping.")
    global_batch_size: int = Field(256, ge=1, description="States per optimizer step over all devices.")
    micro_batch_size: int = Field(4, ge=1, description="States per forward on one device.")
    seed: int = Field(42, ge=0, description="Order of states, adapter initialisation, dropout.")
    lora: LoraConfig = Field(LoraConfig(), description="Adapter shape.")
    bf16: bool = Field(True, description="bfloat16 autocast.")
    gradient_checkpointing: bool = Field(False, description="Less memory, slower.", json_schema_extra=RUNTIME)
    save_steps: int = Field(200, ge=1, description="Steps between checkpoints.", json_schema_extra=RUNTIME)
    log_steps: int = Field(10, ge=1, description="Steps between log lines.", json_schema_extra=RUNTIME)
    compile: bool = Field(
        False, description="torch.compile of every layer: faster on a GPU.", json_schema_extra=RUNTIME
    )
    processes: int = Field(1, ge=1, description="Processes (one a GPU) per node.", json_schema_extra=RUNTIME)
    nodes: int = Field(
        1, ge=1, description="Hosts of the run; the others run `tad join`.", json_schema_extra=RUNTIME
    )
    rendezvous: str | None = Field(
        None,
        pattern=r"^[^\s:]+:\d+$",
        description="HOST:PORT where the first host is reached; default: MASTER_ADDR and MASTER_PORT, else its own "
        "name and a free port.",
        json_schema_extra=RUNTIME,
    )
    launcher: Literal["python", "torchrun", "deepspeed"] = Field(
        "python", description="How the training process is started.", json_schema_extra=RUNTIME
    )
    hostfile: str | None = Field(
        None,
        description="Hosts file of the deepspeed launcher, which starts the others by ssh; not with tad join.",
        json_schema_extra=RUNTIME,
    )
    deepspeed: str | None = Field(
        None,
        description="DeepSpeed JSON file, e.g. configs/deepspeed/zero2.json.",
        json_schema_extra=RUNTIME,
    )
    report_to: list[Literal["tensorboard", "wandb", "mlflow"]] = Field(
        [],
        description="Also report the losses there; the package must be installed.",
        json_schema_extra=RUNTIME,
    )
    timeout_s: float | None = Field(
        None, gt=0, description="Kill training after this.", json_schema_extra=RUNTIME
    )

    @model_validator(mode="after")
    def _batches_divide(self) -> Self:
        if self.global_batch_size % (self.micro_batch_size * self.processes * self.nodes):
            raise ValueError(
                f"global_batch_size: {self.global_batch_size} is not a multiple of micro_batch_size x processes x "
                f"nodes ({self.micro_batch_size} x {self.processes} x {self.nodes}); change one of the four"
            )
        return self


class DecodeConfig(Strict):
    """Entropy-threshold multi-block decoding (paper, C.2.2)."""

    block_length: int = Field(
        32, ge=1, description="Block length of decoding; divides rollout.response_length."
    )
    block_add_threshold: float = Field(
        0.1, ge=0, le=1, description="Progress of the last block that adds one."
    )
    decoded_threshold: float = Field(0.95, ge=0, le=1, description="Progress that fully activates the next.")
    early_stop: bool = Field(
        True, description="Stop once everything before the first end-of-text is revealed."
    )


class EvaluateConfig(Strict):
    """The sweep: every model, every task, token by token and at every threshold, under one prompt."""

    tasks: list[SourceConfig] = Field(min_length=1, description="Benchmarks.")
    models: list[ModelName] = Field(
        ["base", "quality", "speed"], min_length=1, description="Models compared."
    )
    thresholds: list[Annotated[float, Field(gt=0)]] = Field(
        [0.1, 0.3, 0.5], min_length=1, description="Entropy thresholds (nats)."
    )
    operating_threshold: float = Field(
        0.5, gt=0, description="Threshold of the headline row; one of thresholds."
    )
    decode: DecodeConfig = Field(DecodeConfig(), description="Decoder settings.")
    aup_alpha: float = Field(3.0, ge=0, description="Penalty factor of AUP.")
    bootstrap: int = Field(1000, ge=0, description="Resamples of problems for the 95 % intervals; 0: none.")
    batch_size: int = Field(32, ge=1, description="Prompts decoded together.", json_schema_extra=RUNTIME)
    workers: int = Field(
        0,
        ge=0,
        le=256,
        description="Processes that decode on a CPU, one thread each; 0: one per core. A GPU needs one.",
        json_schema_extra=RUNTIME,
    )
    harness: Literal["lm-eval", "direct"] = Field(
        "lm-eval",
        description="Run under lm-eval, or decode and judge directly; the numbers are the same.",
        json_schema_extra=RUNTIME,
    )

    @model_validator(mode="after")
    def _operating_is_swept(self) -> Self:
        if self.operating_threshold not in self.thresholds:
            raise ValueError(
                f"operating_threshold: {self.operating_threshold} is not in thresholds {self.thresholds}; add it"
            )
        if len({t.name for t in self.tasks}) != len(self.tasks):
            raise ValueError("tasks: two have the same name; rename one")
        return self


class TADConfig(Strict):
    """The whole pipeline."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", description="Name of the set-up.")
    store: str = Field("runs/store", description="fsspec URL of the artifacts.", json_schema_extra=RUNTIME)
    model: ModelConfig
    data: list[SourceConfig] = Field(min_length=1, description="Training problems.")
    rollout: RolloutConfig = Field(RolloutConfig(), description="Collection.")
    filter: VerifyConfig = Field(VerifyConfig(), description="Verification of answers.")
    calibrate: CalibrateConfig = Field(CalibrateConfig(), description="Windows.")
    distill: DistillConfig = Field(DistillConfig(), description="Training.")
    evaluate: EvaluateConfig

    @model_validator(mode="after")
    def _lengths_agree(self) -> Self:
        length, block = self.rollout.response_length, self.evaluate.decode.block_length
        if length % block:
            raise ValueError(
                f"evaluate.decode.block_length: {block} does not divide rollout.response_length {length}; "
                f"use {self.rollout.block_length}"
            )
        if self.distill.states_per_trajectory > length:
            raise ValueError(
                f"distill.states_per_trajectory: {self.distill.states_per_trajectory} is more than "
                f"rollout.response_length {length}; use at most {length}"
            )
        names = [s.name for s in self.data]
        if len(set(names)) != len(names):
            raise ValueError("data: two sources have the same name; rename one")
        return self


# --- loading ----------------------------------------------------------------------------------------


def load_config(path: str | Path, overrides: Iterable[str] = ()) -> TADConfig:
    """Read a YAML file, apply ``section.field=value`` overrides, validate.

    Raises:
        ConfigError: with every problem found, one line each.
    """
    file = Path(path)
    if not file.is_file():
        shipped = ", ".join(sorted(str(p) for p in Path("configs").glob("*.yaml"))) or "none here"
        raise ConfigError(f"config: {path} does not exist; shipped ones: {shipped}")
    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ConfigError(f"config: {path} is not YAML: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"config: {path} cannot be read as UTF-8 text ({error})") from None
    if not isinstance(tree, dict):
        raise ConfigError(
            f"config: {path} holds no mapping; it needs at least name, model, data and evaluate"
        )
    for item in overrides:
        _override(tree, item)
    return parse_config(tree)


def parse_config(tree: Mapping[str, Any]) -> TADConfig:
    """Validate a plain tree (from YAML, the run form or a test)."""
    try:
        return TADConfig.model_validate(tree)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(e) for e in error.errors())) from None


def dump_config(config: BaseModel) -> str:
    """The resolved configuration as YAML, every default written out."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _override(tree: dict[str, Any], item: str) -> None:
    key, equals, raw = item.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set: {item!r} is not of the form section.field=value, e.g. rollout.seed=3")
    try:
        value = yaml.safe_load(raw)
    except yaml.YAMLError:
        raise ConfigError(f"--set {key}: {raw!r} is not a YAML value") from None
    if isinstance(value, str):
        value = _number(value)
    node: Any = tree
    *parents, leaf = key.split(".")
    for part in parents:
        if isinstance(node, list):
            node = _item(node, part, key)
            continue
        if not isinstance(node.get(part), (dict, list)):
            node[part] = {}
        node = node[part]
    if isinstance(node, list):
        _item(node, leaf, key)
        node[int(leaf)] = value
    else:
        node[leaf] = value


def _number(text: str) -> Any:
    # YAML 1.1 reads 2e-5 (no dot) as a string; everybody who types it means a number.
    try:
        return float(text)
    except ValueError:
        return text


def _item(node: list[Any], part: str, key: str) -> Any:
    if not part.isdigit() or int(part) >= len(node):
        raise ConfigError(f"--set {key}: {part!r} is not an index of that list; use 0 to {len(node) - 1}")
    return node[int(part)]


def _explain(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        names = _fields_at(error["loc"][:-1])
        near = difflib.get_close_matches(str(error["loc"][-1]), names, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(names)}"
        return f"{where}: unknown key; {hint}"
    if error["type"] == "missing":
        return f"{where}: missing; add it to the config"
    if error["type"] == "value_error":
        return f"{where}.{message}" if where else message
    return f"{where}: {error['input']!r} is not accepted: {message}"


def _fields_at(loc: tuple[Any, ...]) -> list[str]:
    """Names of the fields of the section at ``loc``, walking the tree of models."""
    model: type[BaseModel] = TADConfig
    for part in loc:
        if isinstance(part, int):
            continue
        info = model.model_fields.get(str(part))
        if info is None:
            return []
        inner = [a for a in (info.annotation, *get_args(info.annotation)) if isinstance(a, type)]
        models = [a for a in inner if issubclass(a, BaseModel)]
        if not models:
            return []
        model = models[0]
    return sorted(model.model_fields)
