"""Find the final answer, or the program, in a model's text."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Callable, Sequence

from tad_core.verify.config import DEFAULT_ORDER, ExtractRule
from tad_core.verify.hedges import (
    RECKONED,
    SEVERAL_IN_DOLLARS,
    open_number,
    parts_of_one,
    says_the_same,
    value_behind,
)

#: a number with an optional sign, currency, thousands commas, decimals or a fraction bar
_NUMBER = re.compile(
    r"(?<![\w.])"
    r"(?P<sign>-\s?)?(?:\\?[$€£]\s?)?(?P<sign2>-)?"
    r"(?P<digits>[1-9]\d{0,2}(?:,\d{3})+(?!\d)|\d+)(?P<decimals>\.\d+)?"
    r"(?P<denominator>\s?/\s?\d+)?"
    r"(?P<percent>\s?\\?%)?"
)
_THE_ANSWER_IS = re.compile(r"\banswer\s+is\s*:?\s*|\banswer\s*:\s*", re.IGNORECASE)
_CLAUSE_END = re.compile(r"[.;!?](?:\s|$)|\s(?:because|since|so|which|as|if|when)\s")
_PROSE = re.compile(
    r"(?:the|that|there|equal to|equals|about|approximately|exactly|only|just|an?|it)\s", re.IGNORECASE
)
_BOX = re.compile(r"\\(?:boxed|fbox)\s*")
# possessive: a line of tildes that no line break ends would otherwise be tried at every length
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)  # an escaped brace is a symbol, not a bracket
_FENCE = re.compile(r"^[ \t]*+(`{3,}+|~{3,}+)[ \t]*+([\w+-]*+)[^\n]*+\n", re.MULTILINE)
_PYTHON_NAMES = frozenset({"python", "python3", "py", "py3"})
#: Fences within the strings of one program that are passed over.
_MAX_INNER_FENCES = 64
#: Longer texts than any answer: what lies further from the end than this is not looked at.
_MAX_TEXT = 1_000_000


def extract_answer(text: str, order: Sequence[ExtractRule] = DEFAULT_ORDER) -> str:
    """The final answer in ``text`` by the first rule of ``order`` that finds one; empty if none does."""
    text = text[-_MAX_TEXT:]
    for rule in order:
        found = _RULES[rule](text)
        if found:
            return found
    return ""


def last_boxed(text: str) -> str:
    r"""The content of the last balanced ``\boxed{…}`` (or ``\boxed 7``); empty if there is none.

    A box that is never closed (a text that was cut) is skipped, and so is an empty one. Boxes with no more than a
    comma, ``and`` or ``or`` between them are one answer, and so is a box with another value behind an ``or``.
    """
    boxes = _boxes(text)
    if not boxes:
        return ""
    start, end, content = boxes[-1]
    found = [content]
    for box in reversed(boxes[:-1]):
        if not parts_of_one(text, box[1], start):
            break
        start = box[0]
        if not any(says_the_same(box[2], other) for other in found):
            found.append(box[2])
    answer = r" \text{ or } ".join(reversed(found))
    return answer + _another_behind(text, end, answer)


def _boxes(text: str) -> list[tuple[int, int, str]]:
    """The boxes that hold something as (start, end, content)."""
    starts = list(_BOX.finditer(text))
    partners = _partners(text) if starts else {}
    boxes = []
    for start in starts:
        at = end = start.end()
        content = ""
        if text[at : at + 1] == "{":
            if at in partners:
                content, end = text[at + 1 : partners[at]], partners[at] + 1
        elif bare := re.match(r"[^\s${}]+", text[at : at + 64]):
            content, end = bare.group(), at + bare.end()
        if content.strip():
            boxes.append((start.start(), end, content.strip()))
    return boxes


def _another_behind(text: str, end: int, answer: str) -> str:
    """`` or 6`` where the clause behind an answer goes on with another value, and does not say the same again."""
    value = value_behind(text, end)
    same = not value or says_the_same(answer, value) or says_the_same(answer, last_number(value))
    return "" if same else f" or {value}"


def _partners(text: str) -> dict[int, int]:
    """Where each brace that is closed closes. One pass: a text may hold thousands of boxes left open."""
    partners: dict[int, int] = {}
    open_at: list[int] = []
    for brace in _BRACE.finditer(text):
        if brace.group() == "{":
            open_at.append(brace.start())
        elif brace.group() == "}" and open_at:
            partners[open_at.pop()] = brace.start()
    return partners


def after_hashes(text: str) -> str:
    """The rest of the line after the last ``####``, the form of GSM8K's references."""
    _, found, tail = text.rpartition("####")
    return tail.strip().split("\n", 1)[0].strip() if found else ""


def after_the_answer_is(text: str) -> str:
    """What follows the last 'the answer is', to the end of the sentence."""
    matches = list(_THE_ANSWER_IS.finditer(text))
    if not matches:
        return ""
    line = text[matches[-1].end() :].split("\n", 1)[0].strip()
    math = re.match(
        r"\$\$?(?:(?!\d)|(?=[^$]*\\[A-Za-z]))((?:\\.|[^$\\])+)\$|\\\((.+?)\\\)|\*\*(.+?)\*\*", line
    )
    if math:
        answer = next(group for group in math.groups() if group is not None).strip()
        return answer + _another_behind(line, math.end(), answer)
    sentence_end = _CLAUSE_END.search(line)
    clause = (line[: sentence_end.start()] if sentence_end else line).strip(" *\t")
    if SEVERAL_IN_DOLLARS.match(clause):
        return clause.replace("$", "")
    if sentence_end and sentence_end.group().startswith("?"):
        return clause + "?"
    if _PROSE.match(clause) and not RECKONED.search(clause):  # "the answer is the sum of both, 12"
        return last_number(clause) or clause
    return clause


def last_number(text: str) -> str:
    """The last number in the text, without its currency sign."""
    last: re.Match[str] | None = None
    for last in _NUMBER.finditer(text):  # noqa: B007 (the last match is what is wanted)
        pass
    if last is None:
        return ""
    if hedge := open_number(text, last):
        return hedge
    sign = "-" if _is_sign(text, last) else ""
    number = last["digits"].replace(",", "") + (last["decimals"] or "")
    return sign + number + (last["denominator"] or "").replace(" ", "") + ("%" if last["percent"] else "")


def _is_sign(text: str, match: re.Match[str]) -> bool:
    """Whether the minus before a number is its sign and not a subtraction (``7 - 3``)."""
    if match["sign2"]:
        return True
    if not match["sign"]:
        return False
    before = text[: match.start()]
    if before[-1:].isspace() and match["sign"] == "-":  # "to -3", but not "7 - 3" and not "7-3"
        return True
    before = before.rstrip()
    return not (before and (before[-1].isalnum() or before[-1] in ")}]"))


_RULES: dict[ExtractRule, Callable[[str], str]] = {
    "boxed": last_boxed,
    "hashes": after_hashes,
    "the_answer_is": after_the_answer_is,
    "last_number": last_number,
}


def extract_code(text: str, entry_point: str | None = None) -> str:
    """The program in a model's text; empty if there is none.

    The whole text if it is Python by itself (fences in it are those of its docstrings); else the first
    fenced Python block that parses and, where ``entry_point`` is given, defines it; else the first fenced
    block that parses; else the first fenced block. A fence that is never closed runs to the end of the text.
    Lines may end in any of Python's ways.
    """
    text = text[:_MAX_TEXT].replace("\r\n", "\n").replace("\r", "\n")
    if defines_something(text):
        return text.strip("\n")
    blocks = _fenced_blocks(text)
    if not blocks:
        return ""
    python = [body for language, body in blocks if language in _PYTHON_NAMES] or [body for _, body in blocks]
    parsed = [body for body in python if parses(body)]
    if entry_point:
        for body in parsed:
            if defines(body, entry_point):
                return body
    return (parsed or python)[0]


def _fenced_blocks(text: str) -> list[tuple[str, str]]:
    """The fenced blocks of a Markdown text as (language in lower case, body)."""
    blocks: list[tuple[str, str]] = []
    position = 0
    while opening := _FENCE.search(text, position):
        language = opening[2].lower()
        end, after = _end_of_block(text, opening)
        body = text[opening.end() : end].strip("\n")
        if body.strip():
            blocks.append((language, body))
        position = after
        if after >= len(text):
            break
    return blocks


def _end_of_block(text: str, opening: re.Match[str]) -> tuple[int, int]:
    """Where the body of a block ends, and where what follows the block starts.

    The first closing fence, but a later one where only that makes a Python program of the body: a fence
    in a docstring closes nothing.
    """
    fence = re.escape(opening[1][0]) + "{" + str(len(opening[1])) + ",}"
    closings = re.compile(rf"^[ \t]*+{fence}[ \t]*+$", re.MULTILINE).finditer(text, opening.end())
    first = next(closings, None)
    if first is None:
        return len(text), len(text)
    if opening[2].lower() in _PYTHON_NAMES or not opening[2]:
        later = (closing.span() for closing in itertools.islice(closings, _MAX_INNER_FENCES))
        for end, after in itertools.chain([first.span()], later, [(len(text), len(text))]):
            body = text[opening.end() : end]
            if parses(body):
                return end, after
            if not _ends_in_text(body):
                break  # the fence is not within a string: this is where the block ends
    return first.span()


def _ends_in_text(source: str) -> bool:
    """Whether a source breaks off within a string of several lines."""
    try:
        ast.parse(source)
    except SyntaxError as error:
        return "triple-quoted" in error.msg  # the parser's own words, of text and of f-strings
    except (ValueError, RecursionError, MemoryError):
        return False
    return False


def parses(source: str) -> bool:
    """Whether ``source`` is Python."""
    return _tree(source) is not None


def defines(source: str, name: str) -> bool:
    """Whether ``source`` binds ``name`` at its top level."""
    tree = _tree(source)
    return tree is not None and any(name in bound(node) for node in tree.body)


def defines_something(source: str) -> bool:
    """Whether ``source`` is Python that defines a function, a class or a name (prose rarely does)."""
    tree = _tree(source)
    return tree is not None and any(bound(node) for node in tree.body)


def bound(node: ast.stmt) -> set[str]:
    """The names that a statement binds by a definition or an assignment."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Assign):
        return {target.id for target in node.targets if isinstance(target, ast.Name)}
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return {node.target.id}
    return set()


def _tree(source: str) -> ast.Module | None:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None  # MemoryError and RecursionError: the parser's own limits on nesting
