"""What a client may ask: OpenAI's bodies, and beside them how the response is decoded.

A parameter of OpenAI's that means nothing here is accepted at the value that changes nothing and refused at any other;
a name that nobody knows is refused, so that a typing error is not taken for a wish that was granted.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StringConstraints, model_validator

from tad_core.config.rollout import MOST_COUNT

#: Most choices of one request, and most stop strings. OpenAI takes four of these; other servers do not count, and
#: lm-eval sends as many as a task has.
MAX_CHOICES, MAX_STOPS = 16, 16
Stop = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Count = Annotated[int, Field(strict=True, ge=1, le=MOST_COUNT)]
CountOrNever = Annotated[int, Field(strict=True, ge=0, le=MOST_COUNT)]

#: Parameters of OpenAI's, and of the servers that are asked as it is, that change nothing at these values, and are not
#: offered at others.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "top_p": (1,), "presence_penalty": (0,), "frequency_penalty": (0,), "logit_bias": ({},), "logprobs": (False,),
    "top_logprobs": (0,), "tools": ([],), "tool_choice": ("none", "auto"), "parallel_tool_calls": (True, False),
    "functions": ([],), "function_call": ("none", "auto"), "response_format": ({"type": "text"},), "best_of": (1,),
    "echo": (False,), "suffix": ("",), "modalities": (["text"],), "audio": (), "prediction": (),
    "web_search_options": (), "moderation": (), "reasoning_effort": ("none",), "verbosity": ("medium",),
    "store": (False,), "service_tier": ("auto", "default"), "top_k": (-1, 0), "min_p": (0,), "repetition_penalty": (1,),
}  # fmt: skip
#: And those that are about the client, or about what a server keeps for it.
_OF_THE_CLIENT = (
    "user", "metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention",
)  # fmt: skip
#: What an answer's message has beside its text, and comes back with it: of nothing that is written here.
_OF_AN_ANSWER: dict[str, tuple[Any, ...]] = {
    "refusal": (), "annotations": ([],), "audio": (), "function_call": (), "tool_calls": ([],),
}  # fmt: skip


def _without(given: dict[str, Any], neutral: dict[str, tuple[Any, ...]]) -> dict[str, Any]:
    """The object without what changes nothing.

    Raises:
        ValueError: one of these names has another value.
    """
    rest = dict(given)
    for name, accepted in neutral.items():
        value = rest.pop(name, None)
        if value is not None and not any(_same(value, one) for one in accepted):
            shown = " or ".join(["leave it out", *(f"use {one!r}" for one in accepted)])
            raise ValueError(f"{name}: {value!r:.80} is not offered; {shown}")
    return rest


def _same(value: Any, other: Any) -> bool:
    """Whether they are equal in JSON, where true is not 1."""
    return value == other and isinstance(value, bool) == isinstance(other, bool)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class StreamOptions(_Body):
    """Of a streamed answer."""

    include_usage: StrictBool = Field(False, description="Send the usage in a last chunk.")
    include_obfuscation: StrictBool = Field(False, description="Accepted and not used.")


class Decoding(_Body):
    """How a response is decoded; whatever is left out is the model's own default."""

    method: str | None = Field(None, description="token_by_token, entropy …: docs/decoding.md.")
    threshold: Number | None = Field(None, description="Entropy in nats, or a probability.")
    block_length: Count | None = Field(None, description="Tokens of a block.")
    block_add_threshold: Number | None = Field(None, description="Progress that opens another block.")
    early_stop: StrictBool | None = Field(None, description="Stop at the first end-of-text.")
    mask_in_entropy: StrictBool | None = Field(None, description="Whether the mask token counts in it.")
    factor: Number | None = Field(None, description="Of the method factor.")
    tokens_per_forward: Count | None = Field(None, description="Of low_confidence.")
    forward_budget: Count | None = Field(None, description="Of fixed_budget: forwards of a response.")
    decoded_threshold: Number | None = Field(
        None,
        description="Of the method pipeline: progress of a block from which the next reveals at every forward.",
    )
    cache: Literal["none", "dual", "dual_block", "prefix", "blocks"] | None = Field(
        None, description="Keep keys and values."
    )
    refresh_blocks: StrictBool | None = Field(None, description="With a cache: at each block.")
    refresh_forwards: CountOrNever | None = Field(None, description="With a cache: every so many.")
    refresh_reveals: CountOrNever | None = Field(None, description="With a cache: after so many.")
    refresh_settle: Count | None = Field(None, description="With refresh_blocks: so many in a row.")

    def decoding(self) -> dict[str, Any]:
        """The fields of ``DecodeSpec`` that were given."""
        given = {name: getattr(self, name) for name in Decoding.model_fields}
        return {name: value for name, value in given.items() if value is not None}


class Asked(Decoding):
    """What both routes share."""

    model: str | None = Field(None, description="Name of a served model; may be left out where there is one.")
    max_tokens: Count | None = Field(None, description="Most tokens of the text.")
    temperature: Number | None = Field(None, ge=0, le=2, description="0: the most likely tokens.")
    seed: Annotated[int, Field(strict=True, ge=0, lt=1 << 63)] | None = Field(
        None, description="Of the noise of a temperature; the same seed gives the same text."
    )
    n: StrictInt | None = Field(None, ge=1, le=MAX_CHOICES, description="Responses to each prompt.")
    stop: Stop | list[Stop] | None = Field(None, description="The text ends before the first of these.")
    stream: StrictBool | None = Field(None, description="Send blocks as they complete.")
    stream_options: StreamOptions | None = None
    canvas: StrictBool | None = Field(None, description="Streamed: what every forward reveals, too.")

    @model_validator(mode="before")
    @classmethod
    def _without_what_changes_nothing(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            raise ValueError("the body is not an object")
        rest = _without(given, NEUTRAL)
        return {name: value for name, value in rest.items() if name not in _OF_THE_CLIENT}

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(self.stops) > MAX_STOPS:
            raise ValueError(f"stop: {len(self.stops)} strings are too many; use at most {MAX_STOPS}")
        for name in ("stream_options", "canvas"):
            if getattr(self, name) and not self.stream:
                raise ValueError(f"{name}: is of a streamed answer; set stream to true, too")
        return self

    @property
    def stops(self) -> list[str]:
        """As a list."""
        return [self.stop] if isinstance(self.stop, str) else list(self.stop or [])

    @property
    def most_tokens(self) -> int | None:
        """By whichever name it was given."""
        return self.max_tokens


class TextPart(_Body):
    """A piece of a message."""

    type: Literal["text"]
    text: str


class Message(_Body):
    """One of a chat."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]
    name: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _as_answered(cls, given: Any) -> Any:
        of_answer = isinstance(given, dict) and given.get("role") == "assistant"
        return _without(given, _OF_AN_ANSWER) if of_answer else given

    @property
    def plain(self) -> dict[str, str]:
        """As a chat template takes it."""
        text = self.content if isinstance(self.content, str) else "".join(p.text for p in self.content)
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


class ChatAsked(Asked):
    """Body of /v1/chat/completions."""

    messages: list[Message] = Field(min_length=1)
    max_completion_tokens: Count | None = Field(None, description="The newer name of max_tokens.")

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if all(message.role == "assistant" for message in self.messages):
            raise ValueError(
                "messages: there is nothing but an answer; begin with a message of role user or system"
            )
        names = (self.max_completion_tokens, self.max_tokens)
        if None not in names and len(set(names)) > 1:
            raise ValueError(
                f"max_tokens: {self.max_tokens} and max_completion_tokens {self.max_completion_tokens} are two names "
                "of one thing; leave one out"
            )
        return self

    @property
    def most_tokens(self) -> int | None:
        """By whichever name it was given."""
        return self.max_completion_tokens or self.max_tokens


class TextAsked(Asked):
    """Body of /v1/completions."""

    prompt: str | list[str] | list[StrictInt] | list[list[StrictInt]]

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if self.prompt == []:
            raise ValueError("prompt: it is an empty list; give at least 1 item")
        return self

    @property
    def prompts(self) -> list[str | list[int]]:
        """Each prompt by itself, as text or tokens."""
        given = self.prompt
        if isinstance(given, str):
            return [given]
        if given and isinstance(given[0], int):
            return [list(given)]
        return list(given)  # type: ignore[arg-type]
