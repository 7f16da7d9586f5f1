"""What a request of lm-eval asks of a decoder that is set up already: by its task, or by ``--gen_kwargs``."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from tad_core.config import elsewhere
from tad_core.decoding import DecodeSpec
from tad_core.errors import ConfigError
from tad_core.fitting import tell

#: Lengths of an answer as tasks of lm-eval name them; a task's own is told, and is no error.
_OF_TASKS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_length")
#: Of samplers, which lm-eval's models for transformers read; whether answers are drawn is told elsewhere.
_OF_SAMPLERS = ("temperature", "top_p")


def refuse_unknown(options: Iterable[str], known: list[str]) -> None:
    """Refuse arguments of the model that are not known, all in one error, with what public code's are called here.

    Raises:
        ConfigError: there are some.
    """
    lines = []
    for name in (name for name in options if name not in known):
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
        meant = elsewhere.said(elsewhere.DECODING, name) or (
            f"did you mean {near[0]}?" if near else "leave it out"
        )
        lines.append(f"model_args: {name} is not known; {meant}")
    if lines:
        raise ConfigError("\n".join([*lines, f"model_args: use {', '.join(known)}"]))


def refuse_numbers(options: Mapping[str, Any], texts: Iterable[str]) -> None:
    """Refuse numbers where text is meant: lm-eval reads a commit or a folder of digits as one, without zeros in front.

    Raises:
        ConfigError: there are some.
    """
    lines = [
        f"model_args: {name}: {options[name]} is not accepted: lm-eval has read a number; put it in quotes that reach "
        f"it: '{name}=\"…\"', or give the arguments as a dictionary"
        for name in texts
        if isinstance(options.get(name), (int, float))
    ]
    if lines:
        raise ConfigError("\n".join(lines))


def check_asked(settings: Iterable[Mapping[str, Any]], spec: DecodeSpec) -> None:
    """Refuse settings of requests that would decide how is decoded, and say of another length that it does not count.

    Raises:
        ConfigError: one is of the decoder, by its name here or in public code: it would do nothing.
    """
    asked = list(settings)
    names = dict.fromkeys(name for one in asked for name in one if name not in (*_OF_TASKS, *_OF_SAMPLERS))
    lines = []
    for name in names:
        if name in DecodeSpec.__dataclass_fields__:
            lines.append(f"gen_kwargs: {name} is not read there; give it in --model_args")
        elif meant := elsewhere.said(elsewhere.DECODING, name):
            lines.append(f"gen_kwargs: {name} is not read; {meant}, in --model_args")
    if lines:
        raise ConfigError("\n".join(lines))
    lengths = {one[name] for one in asked for name in _OF_TASKS if one.get(name) is not None}
    if others := sorted({str(length) for length in lengths} - {str(spec.response_length)}):
        tell(
            f"warning: answers of {' and '.join(others)} tokens are asked for (by the task or --gen_kwargs); they have "
            f"{spec.response_length} here, which response_length in --model_args changes"
        )
