"""``tad generate``: one response, or those of several models side by side, while they are decoded."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.columns import Columns
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from flows.serving import Read
from flows.terminal import plain_console
from tad_core.errors import ConfigError
from tad_core.serving.faults import RequestError, of_validation
from tad_core.serving.requests import ChatAsked
from tad_core.serving.served import load_all
from tad_core.serving.sources import Hardware, sources_of
from tad_core.serving.watch import Frame, frames

_MASK = "·"


def _read_prompt(given: str) -> str:
    """The user's message: as typed, or from the input.

    Raises:
        ConfigError: it is no text, as what is typed or piped in another encoding.
    """
    try:
        text = sys.stdin.read() if given == "-" else given
        text.encode()
    except UnicodeError as error:
        raise ConfigError(f"PROMPT: it is no UTF-8 text ({error}); give it in UTF-8") from None
    return text


def run_generate(
    model: str, prompt: str, compare: str | None, asked: dict[str, Any], on: Hardware, read: Read
) -> None:
    """Decode and show; where nobody watches, print the text alone.

    Raises:
        TADError: one clear message.
    """
    text = _read_prompt(prompt)
    tree = {"messages": [{"role": "user", "content": text}], **asked}
    try:
        body = ChatAsked.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(str(of_validation(error, tree))) from None
    names = [name.strip() for name in compare.split(",")] if compare else []
    if names and not Path(model).is_file():
        raise ConfigError(
            f"--compare: {model} is not a run's file, e.g. configs/demo.yaml; give one, or leave it out"
        )
    sources = sources_of([f"{model}:{name}" for name in names] or [model], on, read)
    if len(sources) > 1 and not names:
        raise ConfigError(
            f"MODEL: {model} has {', '.join(s.name for s in sources)}; say which, as in {model}:{sources[-1].name}, or "
            f"--compare {','.join(s.name for s in sources)}"
        )
    models = load_all(sources)
    try:
        decoded = [frames(one, one.wish(body, one.model.max_positions or sys.maxsize)) for one in models]
    except RequestError as error:
        raise ConfigError(str(error)) from None
    console = plain_console()
    if console.is_terminal:
        last = _live(console, [one.name for one in models], decoded)
    else:
        last = [list(each)[-1] for each in decoded]
        for one, frame in zip(models, last, strict=True):
            head = f"== {one.name}: {_figures(frame)}\n" if names else ""
            sys.stdout.write(f"{head}{frame.text}\n")


def _live(console: Console, names: Sequence[str], decoded: Sequence[Iterator[Frame]]) -> list[Frame]:
    """All side by side, a forward of each in turn: who needs fewer is done first."""
    last: list[Frame | None] = [None] * len(names)
    with Live(console=console, refresh_per_second=20, vertical_overflow="visible") as live:
        going = True
        while going:
            going = False
            for i, each in enumerate(decoded):
                if (frame := next(each, None)) is not None:
                    last[i], going = frame, True
            live.update(_picture(names, last, console.width))
    return [frame for frame in last if frame is not None]


def _picture(names: Sequence[str], last: Sequence[Frame | None], width: int) -> Columns | Group:
    beside = len(names) > 1 and width // len(names) >= 36
    each = width // len(names) - 1 if beside else width
    panels = [
        Panel(Group(canvas(frame), Text(_figures(frame), style="dim")), title=Text(name), width=each)
        for name, frame in zip(names, last, strict=True)
        if frame is not None
    ]
    return Columns(panels, padding=(0, 1)) if beside else Group(*panels)


def canvas(frame: Frame) -> Text:
    """The response as it stands: what the last forward revealed stands out, masks are dots.

    Of a complete one the text alone.
    """
    if frame.finish is not None:
        return Text(frame.text)
    out = Text()
    for place, token in enumerate(frame.tokens):
        if token is None:
            out.append(_MASK, style="dim")
        else:
            out.append(token, style="bold green" if place in frame.new else "")
    return out


def _figures(frame: Frame) -> str:
    rate = frame.revealed / frame.forwards
    return f"{frame.forwards} forwards, {rate:.2f} tokens a forward, {frame.seconds:.2f} s"
