"""The errors a user can meet. Each message names the field, the value, what is accepted and the remedy."""

from __future__ import annotations

from tad_core.presence import gone


class TADError(Exception):
    """Base of every error the pipeline raises on purpose; ``exit_code`` is what the CLI returns for it."""

    exit_code = 1


class ConfigError(TADError):
    """The configuration is wrong: found before any work starts, and never worth a retry."""

    exit_code = 2


class DataError(TADError):
    """The input data is missing, empty or malformed: never worth a retry."""

    exit_code = 2


class ModelError(TADError):
    """A checkpoint is missing, not supported, or lacks what a masked diffusion model needs."""

    exit_code = 2


class LogitsError(ModelError):
    """What a model gives for a sample is not numbers: nothing can be decoded from it."""

    @classmethod
    def of_prompt(cls, tokens: int) -> LogitsError:
        """Of a sample with a prompt of so many tokens."""
        return cls(
            f"model: its logits for a prompt of {tokens} tokens are not numbers (NaN): the weights or the adapter are "
            "damaged, or model.dtype float16 does not hold their values; use another checkpoint, or bfloat16"
        )


class NotFetchedError(ModelError):
    """A checkpoint of the hub that is not here, asked for by something that only looks: a run would fetch it."""


class ArtifactError(TADError):
    """An artifact cannot be written or does not verify."""

    exit_code = 2


class StoreError(ArtifactError):
    """The store cannot be written: what is left to do would be computed for nothing."""


class VerifierError(TADError):
    """The verifier itself failed (not the answer it judged): retried, then the run stops."""


class SubprocessError(TADError):
    """A child process (training, rollout worker) failed; the message carries the last lines of its log."""


class OutOfMemoryError(SubprocessError):
    """Memory does not hold what was asked for, however small the batch: a second try finds the same."""


class BatchMemoryError(OutOfMemoryError):
    """Memory ran out with a batch of this size; a smaller one may fit."""


class KilledError(SubprocessError):
    """A child process was killed from outside, as the system does for want of memory: later there may be more."""


class TrainingError(TADError):
    """Training cannot go on from where it is: a second try computes the same."""

    exit_code = 2


class NoAnswerError(SubprocessError):
    """A remote store did not answer a child process, which lives on: in a while it may."""


class WorkersLostError(SubprocessError):
    """Every worker of this machine kept dying: what is left is not tried again here."""


class ServerError(TADError):
    """The Prefect server refuses, or stays away: what is finished is in the store, nobody keeps the books."""


#: Errors that a second try cannot mend.
PERMANENT_ERRORS: tuple[type[TADError], ...] = (
    ConfigError,
    DataError,
    ModelError,
    OutOfMemoryError,
    TrainingError,
    WorkersLostError,
)

#: Errors that a second try may mend: a child died, memory was short, a file system or network hiccup.
PASSING_ERRORS: tuple[type[Exception], ...] = (SubprocessError, VerifierError, OSError)


def may_pass(error: BaseException) -> bool:
    """Whether it is worth trying the same again: a store that refuses goes on refusing, and one that is gone stays so.

    What is neither passing nor permanent is a programming error, which another try would only hide for a while.
    """
    passing = isinstance(error, PASSING_ERRORS) and not isinstance(
        error, (*PERMANENT_ERRORS, PermissionError)
    )
    return passing and not gone()


#: Errors after which no further shard or slice can be made here either.
LAST_ERRORS: tuple[type[TADError], ...] = (StoreError, WorkersLostError)

#: Errors after which no further one can be made with the same model: every other would begin and find the same.
LAST_OF_A_MODEL: tuple[type[TADError], ...] = (*LAST_ERRORS, ModelError)


def in_a_line(error: BaseException) -> str:
    """What an error says where there is room for one line: its first, and the last lines of a log by the very last."""
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    if len(lines) > 1 and lines[0].endswith(":"):
        return f"{lines[0]} {lines[-1].strip()}"
    return lines[0]
