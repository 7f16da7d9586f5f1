"""Find the program in a model's text: the text itself, a fenced block, or what lies between prose."""

from __future__ import annotations

import ast
import bisect
import itertools
import re
import textwrap
from collections.abc import Iterator

from tad_core.trees import tree_of
from tad_core.verify.definitions import (
    DEFINING,
    bound,
    defines,
    defines_something,
    ends_in_prose_at,
    imported,
    is_stub,
    method_as_function,
    parses,
    tree_or_none,
    wrong_line,
)
from tad_core.verify.listings import as_written, within_a_line
from tad_core.verify.mended import final_of
from tad_core.verify.thoughts import END, without_thoughts
from tad_core.verify.turns import first_turn_of_program

# possessive: a line of tildes that no line break ends would otherwise be tried at every length
_FENCE = re.compile(r"^([ \t]*+)(`{3,}+|~{3,}+)[ \t]*+\{?\.?([\w+-]*+)[ \t]*+([^\n]*+)\n", re.MULTILINE)
_PYTHON_NAMES = frozenset({"python", "python3", "py", "py3"})
_WRAPPERS = frozenset({"markdown", "md"})
_QUOTED = re.compile(r"^[ \t]*>[ \t]?", re.MULTILINE)
#: Lines around a program in some prompts; Python takes the first kind for a list.
_TAG = re.compile(r"^[ \t]*\[/?(?:BEGIN|DONE|PYTHON|CODE)\][ \t]*$", re.MULTILINE)
#: what is left of a fence that was not written, or was broken into two lines
_LANGUAGE_ALONE = re.compile(r"\A\s*(?:python3?|py)[ \t]*\n", re.IGNORECASE)
#: how the families' models end a turn or a text, where a text spells it
END_TOKEN = r"<\|[a-z_]{1,20}\|>|</s>"
_LAST_END_TOKEN = re.compile(rf"(?:{END_TOKEN})\Z")
_LONGEST_END = 24
#: Lines with which a program begins, and those of Python that stand at its margin.
_BEGINNING = re.compile(r"^(?:def |class |async def |import \w|from [\w.]+ import |@\w)", re.MULTILINE)
#: the same of a program that is indented as a whole
_BEGINNING_WITHIN = re.compile(rf"^([ \t]+)(?={_BEGINNING.pattern.lstrip('^')})", re.MULTILINE)
#: words before a program in its first line: ``Answer: def f(x):``
_BEGUN_BEHIND_WORDS = re.compile(
    r"^[^\n]{0,80}?[:\]>*][ *`]*(?=(?:def |class )\w+[^\n]*:[ \t]*$)", re.MULTILINE
)
#: space that Python does not read, at the beginning of a line
_INVISIBLE = re.compile(r"^[ \t]*[\u00a0\u200b\u2060][ \t\u00a0\u200b\u2060]*", re.MULTILINE)
_INVISIBLE_SIGN = re.compile(r"[\u200b\u2060]")
_HTML = re.compile(r"</?(?:pre|code|python|answer|solution)\b[^<>\n]{0,60}>[ \t]*")
_LEADING_TABS = re.compile(r"^\t+", re.MULTILINE)
#: A line that prose may begin with: at the margin, behind one that is not indented deeper by Python's rules.
_MARGIN = re.compile(r"^(?=\S)", re.MULTILINE)
#: decorators with nothing behind them
_DECORATORS_AT_END = re.compile(r"(?:(?:\A|\n)@[^\n]*+)++\Z")
#: Fences within the strings of one program, and ends of one between prose, that are tried.
_MAX_TRIES = 64
#: and characters that are read for them
_MAX_PARSED = 400_000
#: Lines that could begin a program, from the first one on, that are tried.
_MAX_BEGINNINGS = 8
#: Characters of prose with a program in it that are looked at.
_MAX_PROSE = 50_000
#: Longer texts than any answer: what lies further from the start than this is not looked at.
_MAX_TEXT = 1_000_000


def extract_code(text: str, entry_point: str | None = None) -> str:
    """The program in a model's text; empty if there is none.

    The whole text if it is Python by itself (fences in it are those of its docstrings); else the first
    fenced Python block that parses and, where ``entry_point`` is given, defines it by more than its head, with other
    blocks of definitions that it uses, and without one defines anything; else the first fenced block that parses; else
    the Python between the prose of a block or of the text; else the first fenced block. A fence that is never closed
    runs to the end of the text. A block is indented as its fence is; it, and a text, may be indented as a whole.
    Lines may end in any of Python's ways.
    """
    text = text[:_MAX_TEXT].replace("\r\n", "\n").replace("\r", "\n").replace("\ufeff", "")
    text = _LANGUAGE_ALONE.sub("", without_end_tokens(_TAG.sub("", text)))
    text = as_written(text)
    if defines_something(text):
        return _as_asked(without_prose_behind(text), entry_point)
    if (turn := first_turn_of_program(text)) != text and _is_program(
        found := extract_code(turn, entry_point), entry_point
    ):
        return found
    if (answer := without_thoughts(text)) == text:
        return _within_words(text, entry_point)
    found = extract_code(answer, entry_point)
    if _is_program(found, entry_point):
        return found
    # What ends within a program is no thought.
    others = (_within_words(rest, entry_point) for rest in (text.partition(END)[2], text))
    return next((one for one in others if END in one and _is_program(one, entry_point)), found)


def _is_program(source: str, entry_point: str | None) -> bool:
    return defines(source, entry_point) if entry_point else defines_something(source)


def _within_words(text: str, entry_point: str | None) -> str:
    """The program of a text that is none by itself."""
    text = _INVISIBLE.sub(lambda space: _INVISIBLE_SIGN.sub("", space.group()).replace("\u00a0", " "), text)
    if (whole := _at_margin(text, entry_point)) != text:
        return _as_asked(whole, entry_point)
    blocks = _fenced_blocks(text) or _fenced_blocks(_QUOTED.sub("", text))
    blocks = [
        (language, _as_asked(_at_margin(as_written(body), entry_point), entry_point, strip=False))
        for language, body in blocks
    ]
    if not blocks:
        return (
            _between_prose(_HTML.sub("\n", text), entry_point)
            or _between_prose(text, entry_point)
            or (within_a_line(text[:_MAX_PROSE], entry_point) if entry_point else "")
            or _between_prose(_BEGUN_BEHIND_WORDS.sub("\n", text[:_MAX_PROSE]), entry_point)
        )
    if all(language in _WRAPPERS for language, _ in blocks):
        return extract_code("\n".join(body for _, body in blocks), entry_point)
    python = [body for language, body in blocks if language in _PYTHON_NAMES] or [body for _, body in blocks]
    parsed = [body for body in python if parses(body)]
    if entry_point:
        defining = [at for at, body in enumerate(parsed) if defines(body, entry_point)]
        written = [at for at in defining if not is_stub(parsed[at], entry_point)]
        for at in final_of(
            text, entry_point, [parsed[at] for at in written or defining], written or defining
        ):
            others = [body for body in parsed[at + 1 :] if not defines(body, entry_point)]
            return _with_helpers(_with_helpers(parsed[at], parsed[:at]), others)
    if parsed and not entry_point:
        return next((body for body in parsed if defines_something(body)), parsed[0])
    for body in (*python, text):
        if found := _between_prose(body, entry_point):
            return found
    return (parsed or python)[0]


def _as_asked(source: str, entry_point: str | None, strip: bool = True) -> str:
    """A program in which what is asked for is a function, where it is a method; without line breaks around it."""
    source = source.strip("\n") if strip else source
    return method_as_function(source, entry_point).rstrip("\n") if entry_point else source


def _at_margin(source: str, entry_point: str | None) -> str:
    """A program without the indentation that all of it, or its first line, has; any other source as it is.

    A body alone keeps it: it goes below a head.
    """
    if not source[:1].isspace() or parses(source):
        return source
    for moved in (textwrap.dedent(source), source.lstrip()):
        tree = tree_or_none(moved)
        if entry_point and defines(moved, entry_point):
            return moved
        if tree and not entry_point and any(isinstance(node, DEFINING[:3]) for node in tree.body):
            return moved
    return source


def as_bodies(body: str) -> list[str]:
    """A body as the rest of a function: as it is written, and indented by four spaces whatever its indentation.

    Bodies come as they should be, at the margin, deeper or shallower than the head's, or with their first line alone
    at the margin.
    """
    spaced = _LEADING_TABS.sub(lambda tabs: "    " * len(tabs.group()), body)
    return [body, *(textwrap.indent(textwrap.dedent(part), "    ") for part in (f"    {spaced}", spaced))]


def without_end_tokens(text: str) -> str:
    """A text without the ends of a turn or a text that are spelled behind it, and the space there."""
    end = len(text.rstrip())
    while token := _LAST_END_TOKEN.search(text[max(0, end - _LONGEST_END) : end]):
        end -= len(token.group())
        while end and text[end - 1].isspace():
            end -= 1
    return text[:end]


def _fenced_blocks(text: str) -> list[tuple[str, str]]:
    """The fenced blocks of a Markdown text as (language in lower case, body)."""
    blocks: list[tuple[str, str]] = []
    position = 0
    while opening := _FENCE.search(text, position):
        language = opening[3].lower()
        end, after = _end_of_block(text, opening)
        body = _body(text, opening, end)
        if body.strip():
            blocks.append((language, body))
        position = after
        if after >= len(text):
            break
    return blocks


def _body(text: str, opening: re.Match[str], end: int) -> str:
    """What a block holds, without the indentation of its fence; also what stands in the line of its fence."""
    begun = opening[4] + "\n" if _BEGINNING.match(opening[4]) else ""
    body = begun + _LANGUAGE_ALONE.sub("", text[opening.end() : end]).strip("\n")
    return textwrap.dedent(body) if opening[1] else body


def _end_of_block(text: str, opening: re.Match[str]) -> tuple[int, int]:
    """Where the body of a block ends, and where what follows the block starts.

    The first closing fence, but a later one where only that makes a Python program of the body: a fence
    in a docstring closes nothing.
    """
    fence = re.escape(opening[2][0]) + "{" + str(len(opening[2])) + ",}"
    closings = re.compile(rf"^[ \t]*+{fence}[ \t]*+$", re.MULTILINE).finditer(text, opening.end())
    first = next(closings, None)
    if first is None:
        return len(text), len(text)
    if opening[3].lower() in _PYTHON_NAMES or not opening[3]:
        later = (closing.span() for closing in itertools.islice(closings, _MAX_TRIES))
        for end, after in itertools.chain([first.span()], later, [(len(text), len(text))]):
            body = _body(text, opening, end)
            if parses(body):
                return end, after
            if not _ends_in_text(body):
                break  # the fence is not within a string: this is where the block ends
    return first.span()


def _with_helpers(body: str, earlier: list[str]) -> str:
    """A block behind those that define a name that it, or one of them, uses and does not define."""
    for helper in reversed(earlier):
        tree, own = tree_or_none(body), tree_or_none(helper)
        assert tree is not None and own is not None, "only what parses is asked"
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        given = {name for node in own.body for name in bound(node) | imported(node)}
        if all(isinstance(node, DEFINING) for node in own.body) and (used & given) - {
            name for node in tree.body for name in bound(node) | imported(node)
        }:
            future = [
                node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"
            ]
            begin = max((node.end_lineno or 0 for node in future), default=0)  # it has to stand first
            lines = body.split("\n")
            body = "\n".join([*lines[:begin], f"{helper}\n\n", *lines[begin:]])
    return body


def _between_prose(text: str, entry_point: str | None) -> str:
    """The longest run of lines, from a line that begins a program, that is Python and defines what is asked for.

    The first such line that leads to one: prose may begin as a program does (``import the list``).
    """
    # A fence at the end of a line, or with words behind it.
    text = re.sub(r"`{3,}[^`\n]*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"^`{3,}", "", text, flags=re.MULTILINE)
    beginnings = [match.start() for match in _BEGINNING.finditer(text[:_MAX_PROSE])]
    if not beginnings and (within := _BEGINNING_WITHIN.search(text[:_MAX_PROSE])):
        text = re.sub(rf"^{within[1]}", "", text[within.start() :], flags=re.MULTILINE)
        beginnings = [0]
    tries = iter(range(max(_MAX_BEGINNINGS, min(_MAX_TRIES, _MAX_PARSED // (len(text[:_MAX_PROSE]) + 1)))))
    for beginning in beginnings[:_MAX_BEGINNINGS]:
        if found := _from_beginning(text[beginning:_MAX_PROSE], entry_point, tries):
            return found
    return ""


def _from_beginning(text: str, entry_point: str | None, tries: Iterator[int]) -> str:
    """The longest program that a text begins with, as far as the tries go.

    What holds the first wrong line is none, and what is Python and does not define what is asked for has no part that
    does.
    """
    margins = [match.start() for match in _MARGIN.finditer(text)] + [len(text)]
    while len(margins) > 1 and next(tries, None) is not None:
        found = _DECORATORS_AT_END.sub("", text[: margins[-1]].rstrip())
        if entry_point and not re.search(rf"\b{re.escape(entry_point)}\b", found):
            break
        wrong = wrong_line(found)
        if wrong is None:
            found = _as_asked(without_prose_behind(found), entry_point)
            defined = defines(found, entry_point) if entry_point else defines_something(found)
            return found.rstrip() if defined else ""
        begins = _start_of_line(found, wrong)
        del margins[bisect.bisect_right(margins, begins, hi=len(margins) - 1) :]
    return ""


def _start_of_line(text: str, number: int) -> int:
    """Where the line of a number, counted from 1, begins; of none of the text's, where it ends."""
    at = 0
    for _ in range(number - 1):
        at = text.find("\n", at) + 1
        if at == 0:
            return len(text)
    return at


def without_prose_behind(source: str) -> str:
    """A program without what its text goes on with, where that reads as Python and means nothing: ``Time: O(n)``."""
    line = ends_in_prose_at(source)
    return "\n".join(source.split("\n")[: line - 1]) if line else source


def _ends_in_text(source: str) -> bool:
    """Whether a source breaks off within a string of several lines."""
    try:
        tree_of(source)
    except SyntaxError as error:
        return "triple-quoted" in error.msg  # the parser's own words, of text and of f-strings
    except (ValueError, RecursionError, MemoryError):
        return False
    return False
