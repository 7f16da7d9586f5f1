"""Distillation."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from tad_core.config.objectives import OBJECTIVES, ObjectiveName
from tad_core.config.terms import MOST_WEIGHT, D2FConfig, FollowConfig, T3DConfig
from tad_core.settings import ADDED, LONGEST_S, RUNTIME, Seed, Strict, runtime_but, runtime_though

MOST_PORT = 65_535
_BY_DEVICE = "with `lora.dropout` above 0, which is drawn by device, for their number"


class LoraConfig(Strict):
    """Adapters on the seven projections of every layer."""

    rank: int = Field(128, ge=1, description="Rank.")
    alpha: int = Field(128, ge=1, description="Scaling numerator: the update is scaled by alpha / rank.")
    dropout: float = Field(0.05, ge=0, lt=1, description="Dropout on the adapter's input.")
    roles: list[Literal["q", "k", "v", "o", "gate", "up", "down"]] = Field(
        ["q", "k", "v", "o", "gate", "up", "down"], min_length=1, description="Projections adapted."
    )

    @field_validator("roles")
    @classmethod
    def _each_once(cls, given: list[str]) -> list[str]:
        if twice := [role for i, role in enumerate(given) if role in given[:i]]:
            raise PydanticCustomError("twice", "{role} is named twice; leave one out", {"role": twice[0]})
        return given


class DistillConfig(Strict):
    """Temporal-aware distillation (paper, section 3.3 and Table 7)."""

    objective: ObjectiveName = Field(
        "tad",
        description="Of every model that names none of its own in the table of models.",
        json_schema_extra={"enum": list(OBJECTIVES)},
    )
    near: Literal["hard", "soft", "taught"] = Field(
        "hard",
        description="Loss on tokens revealed within the window: cross-entropy on the trajectory's token, KL to the "
        "teacher, or cross-entropy on the token that the teacher finds likeliest.",
    )
    distant: Literal["soft", "hard", "none"] = Field("soft", description="Loss on tokens revealed later.")
    weight_distant: float = Field(1.0, ge=0, le=MOST_WEIGHT, description="Lambda of the distant loss.")
    temperature: float = Field(1.0, ge=0.01, le=100, description="Softmax temperature of the KL.")
    follow: FollowConfig = Field(
        FollowConfig(), description="A window that follows the student.", json_schema_extra=ADDED
    )
    soften_near: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Part of the run over which near tokens go from the teacher's distribution to hard labels, "
        "linearly; 0: hard from the start.",
        json_schema_extra=ADDED,
    )
    emphasis: float = Field(
        0.0,
        ge=0,
        le=10,
        description="A state weighs by the running loss of states as far along, to this power; 0: all alike.",
        json_schema_extra=ADDED,
    )
    teacher_prompt: Literal["rollout", "system", "plain"] = Field(
        "rollout",
        description="Where the teacher reads the reference in training: in the prompt of its rollout, or in the "
        "system turn, as the paper's code does; plain: nowhere, it reads the student's prompt.",
        json_schema_extra=ADDED,
    )
    trajectories: Literal["privileged", "plain"] = Field(
        "privileged",
        description="Which kept rollouts are trained on: the privileged teacher's, or those without the reference, of "
        "the rollout.compare_plain problems; under teacher_prompt rollout their teacher has none in training either.",
        json_schema_extra=ADDED,
    )
    answers: Literal["right", "any"] = Field(
        "right",
        description="Which of these rollouts: those that the filter let pass, or any; for labels of the teacher.",
        json_schema_extra=ADDED,
    )
    mask_block: int = Field(
        32,
        ge=1,
        description="Length of the blocks that dparallel and t3d mask, the response's for the whole response at once; "
        "and of those in which d2f reads and is decoded.",
        json_schema_extra=ADDED,
    )
    mask_ratio: float = Field(
        0.8,
        gt=0,
        le=1,
        description="Most of a block that d3llm masks; the least grows from none to it over the run.",
        json_schema_extra=ADDED,
    )
    mask_blocks: list[Annotated[int, Field(ge=1)]] = Field(
        [16, 16, 24, 24, 32, 32],
        min_length=1,
        description="Lengths of d3llm's blocks, at the beginnings of as many equal parts of the run (the paper: one an "
        "epoch); linear between two, and the last one stays.",
        json_schema_extra=ADDED,
    )
    complement_certainty: bool = Field(
        False,
        description="Whether d3llm presses down the entropy of right tokens of its second input too, as for Dream.",
        json_schema_extra=ADDED,
    )
    labels: Literal["trajectory", "reference"] = Field(
        "trajectory",
        description="What d3llm learns in the order of a trajectory: its own tokens, or those of the problem's "
        "reference at their places, as its paper does with a data set's answers.",
        json_schema_extra=ADDED,
    )
    weight_certainty: float = Field(
        2.0,
        ge=0,
        le=MOST_WEIGHT,
        description="Weight of the entropy of right tokens in dparallel and d3llm.",
        json_schema_extra=ADDED,
    )
    t3d: T3DConfig = Field(T3DConfig(), description="Terms of t3d.", json_schema_extra=ADDED)
    d2f: D2FConfig = Field(D2FConfig(), description="Masks of d2f.", json_schema_extra=ADDED)
    states_per_trajectory: int = Field(
        256, ge=1, description="States drawn per trajectory and epoch, without replacement; at most L."
    )
    filled_states: Literal["all", "one", "skip"] = Field(
        "all",
        description="States whose next reveals were all filled in with end-of-text: train on all of them (the "
        "paper), on one a trajectory, or skip them.",
        json_schema_extra=ADDED,
    )
    epochs: float = Field(1.0, gt=0, le=1e6, description="Passes over the trajectories.")
    max_steps: int | None = Field(None, ge=1, le=10**9, description="Optimizer steps; overrides epochs.")
    learning_rate: float = Field(2e-5, gt=0, description="Peak learning rate (AdamW).")
    schedule: Literal["constant", "cosine", "linear"] = Field(
        "constant", description="Learning rate schedule."
    )
    warmup_steps: int = Field(0, ge=0, description="Linear warm-up.")
    weight_decay: float = Field(0.01, ge=0, description="AdamW weight decay.")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradient clipping.")
    global_batch_size: int = Field(
        256, ge=1, le=2**20, description="States per optimizer step over all devices."
    )
    # Halved by itself where memory runs out, so that no key made before the training can tell it.
    micro_batch_size: int = Field(
        4,
        ge=1,
        description="States per forward on one device.",
        json_schema_extra=runtime_though(
            "with `lora.dropout` above 0 it draws other masks, as another seed would"
        ),
    )
    seed: Seed = Field(42, description="Order of states, adapter initialisation, dropout.")
    lora: LoraConfig = Field(LoraConfig(), description="Adapter shape.")
    bf16: bool = Field(True, description="bfloat16 autocast.")
    quantize: Literal["none", "nf4", "fp8"] = Field(
        "none",
        description="Base while adapters are trained on it, the teacher's too: `nf4` in 4 bits (QLoRA), `fp8` in 8-bit "
        "floats, which takes less time; an adapter is evaluated and exported on the base in `model.dtype`.",
        json_schema_extra=ADDED,
    )
    gradient_checkpointing: bool = Field(
        False,
        description="Compute layers again in the backward pass: less memory, about 1.3 times the time.",
        json_schema_extra=RUNTIME,
    )
    save_steps: int = Field(200, ge=1, description="Steps between checkpoints.", json_schema_extra=RUNTIME)
    log_steps: int = Field(10, ge=1, description="Steps between log lines.", json_schema_extra=RUNTIME)
    compile: Literal["auto", "on", "off"] = Field(
        "auto",
        description="torch.compile of every layer and of the losses, and on a GPU in bfloat16 layers as CUDA graphs; "
        "auto: on a GPU.",
        json_schema_extra=runtime_though(
            "on a GPU with `lora.dropout` above 0 it draws other masks, as another seed would"
        ),
    )
    processes: int = Field(
        1, ge=1, description="Processes (one a GPU) per node.", json_schema_extra=runtime_but(_BY_DEVICE)
    )
    nodes: int = Field(
        1,
        ge=1,
        description="Hosts of the run; the others run `tad join`.",
        json_schema_extra=runtime_but(_BY_DEVICE),
    )
    rendezvous: str | None = Field(
        None,
        pattern=r"^[^\s:]+:\d{1,5}$",
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
        json_schema_extra=runtime_but(
            "for the dtypes the file holds adapters and gradients in, and what else in it is not speed"
        ),
    )
    report_to: list[Literal["tensorboard", "wandb", "mlflow"]] = Field(
        [],
        description="Also report the losses there; the package must be installed.",
        json_schema_extra=RUNTIME,
    )
    timeout_s: float | None = Field(
        None, gt=0, le=LONGEST_S, description="Kill training after this.", json_schema_extra=RUNTIME
    )

    @property
    def beyond_the_paper(self) -> list[str]:
        """What a loss with a window has beside the paper's, a phrase each, for cards and reports."""
        found = []
        if self.soften_near:
            found.append(
                f"near labels go from the teacher's distribution to hard over {self.soften_near:.0%} of the run"
            )
        if self.follow.steps is not None:
            found.append(
                f"the window is read again every {self.follow.steps} steps, where the student's confidence in training "
                f"falls below {self.follow.threshold:g}"
            )
        if self.emphasis:
            found.append(f"states weigh by the running loss of their like, to the power {self.emphasis:g}")
        return found

    @property
    def on_reference_labels(self) -> bool:
        """Whether the tokens of trajectories are replaced by those of their problems' references."""
        return self.labels == "reference" and "labels" not in OBJECTIVES[self.objective].lacks

    @field_validator("compile", mode="before")
    @classmethod
    def _yaml_reads_on_as_true(cls, value: object) -> object:
        return {True: "on", False: "off"}[value] if isinstance(value, bool) else value

    @field_validator("rendezvous")
    @classmethod
    def _a_port(cls, given: str | None) -> str | None:
        if given is not None and not 1 <= int(given.rpartition(":")[2]) <= MOST_PORT:
            raise PydanticCustomError(
                "port", "Input should be HOST:PORT with a port from 1 to {most}", {"most": MOST_PORT}
            )
        return given

    @model_validator(mode="after")
    def _quantized_without_deepspeed(self) -> Self:
        if self.quantize != "none" and self.deepspeed is not None:
            raise ValueError(
                f"quantize: {self.quantize} does not go with deepspeed {self.deepspeed}, which holds all weights in a "
                "dtype of its own; set deepspeed to null, which takes any number of GPUs, or quantize to none"
            )
        return self

    @model_validator(mode="after")
    def _softened_if_hard(self) -> Self:
        if self.soften_near and self.near == "soft":
            raise ValueError(
                f"soften_near: {self.soften_near:g} leads to hard labels, and near is soft; set near to hard, or "
                "soften_near to 0"
            )
        return self

    @model_validator(mode="after")
    def _something_to_learn(self) -> Self:
        """The student begins as the base: all that differs in a teacher's distribution is what its prompt tells."""
        plain = self.trajectories == "plain"
        told = self.teacher_prompt == "system" or (self.teacher_prompt == "rollout" and not plain)
        labels = self.near != "soft" or (self.distant == "hard" and self.weight_distant > 0)
        if told or labels or not OBJECTIVES[self.objective].windowed:
            return self
        which = "teacher_prompt" if self.teacher_prompt == "plain" else "trajectories"
        remedy = "system" if plain else "rollout or system"
        raise ValueError(
            f"{which}: plain has the teacher read what the student reads, whose distribution is then its own, and near "
            f"{self.near} and distant {self.distant} (weight {self.weight_distant:g}) have no other labels: nothing "
            f"would be learned; set teacher_prompt to {remedy}, or near to hard or taught"
        )

    @model_validator(mode="after")
    def _of_the_run_without_deepspeed(self) -> Self:
        if self.deepspeed is None:
            return self
        kind = OBJECTIVES[self.objective]
        remedy = f"deepspeed {self.deepspeed}; set deepspeed to null, which takes any number of GPUs"
        if kind.snapshot:
            raise ValueError(
                f"objective: {self.objective} runs an earlier state of the adapter beside the one in training, which "
                f"does not go with {remedy}"
            )
        learned = {"follow": self.follow.steps is not None, "emphasis": self.emphasis > 0}
        for name in (name for name, on in learned.items() if on and name not in kind.lacks):
            raise ValueError(f"{name}: what it learns of the run is in no checkpoint of {remedy}")
        return self

    @model_validator(mode="after")
    def _batches_divide(self) -> Self:
        if self.global_batch_size % (self.micro_batch_size * self.processes * self.nodes):
            raise ValueError(
                f"global_batch_size: {self.global_batch_size} is not a multiple of micro_batch_size x processes x "
                f"nodes ({self.micro_batch_size} x {self.processes} x {self.nodes}); change one of the four"
            )
        return self
