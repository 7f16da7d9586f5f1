r"""The formula in prose that a number is part of: 2x + 3, x > 5, 2^5, (x - 1)(x + 3), 3:4, \frac{d}{dx}x^2 = 2x.

A line is read once, from left to right, as numbers, letters, signs, brackets and all else. What stands side by side
without a word between it is one formula, and its last number alone is not what it says.
"""

from __future__ import annotations

import re

from tad_core.verify.arithmetic import plainly_differ, value_of
from tad_core.verify.exclaimed import is_factorial
from tad_core.verify.formula_tokens import TOKEN, Token
from tad_core.verify.math_spelling import spelled
from tad_core.verify.rounding import is_rounded

#: letters behind a number that are units where nothing else is: 5m, 5 L
_UNITS = frozenset("mgLlshWJVCFA")
_INEQUALITIES = re.compile(r"[<>≤≥≠≡∤∈!]|\\(?:l|g|ne|equiv|in)")
_ENDS = frozenset({"number", "letter", "close", "behind"})
_STARTS = frozenset({"number", "letter", "open"})
#: between two conditions that are one
_JOINT = re.compile(r"\s?,?\s?(?:and|or)\s|,\s")
_NUMBER = re.compile(
    r"[-−–]?\s?(?:\\?[$€£]\s?)?-?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:\s?/\s?\d+)?(?:\s?\\?%|\^\{?\\circ\}?|\s?°(?:\s?[CF])?)?"
)
_NAME = re.compile(r"[A-Za-zθ]{1,3}'*(?:_\{?\w+\}?)?|[A-Za-z]\([a-z]\)|\\[a-z]+")
#: what a sum goes on from that is not part of what was read: 20% *of* 15 = 3, \angle A = 3
_GOES_ON = re.compile(
    r"(?:\b(?:of|from|to|by|and|per|times|plus|minus|over|half|twice|percent|than|each|at|for|with|divided|x|[A-Z]+)"
    r"|\\[A-Za-z]+|[\d%*/+^)\]}|]|\d,)\s?$"
)
_SMALLER_UNIT = re.compile(r"\s?(?:cents?\b|¢|percent\b)")
#: ``Week 3:210 pages``
_LABEL = re.compile(r"[A-Z][a-z]+ $")
_DECIMAL = re.compile(r"-?\d*\.\d+(?:\s?\\?%)?")
_IS = re.compile(
    r"(?<!\bit )(?<!\bthat )(?<!\bthis )(?<!\bwhich )\b(?:is|are|be|was)(?: (?:then|therefore|thus|just))? $",
    re.I,
)
_EQUATION = re.compile(
    r"\b(?:equation|condition|constraint|inequality|relation|identity|formula|line|function"
    r"|set|plane|circle|locus|graph|asymptotes?|directrix|solutions?)",
    re.I,
)
_WORD_BEFORE = re.compile(r"(?:\$[^$\n]{1,40}\$|[^\s$]{1,40}) ?$")
_WORD_BEHIND = re.compile(r"\s[a-z]{2}")
_JUST_OR = re.compile(r",\sor\s\$?$")
#: Characters before and behind a number that are read.
_BEFORE, _BEHIND = 200, 60


def formula_around(text: str, start: int, end: int) -> tuple[int, int] | None:
    """Where the formula begins and ends that the number ``text[start:end]`` in prose is part of.

    None where the number says all: it stands alone, has a name (``x = 5``), or is what a sum comes to (``2 + 3 = 5``;
    but not ``2 + 3 = 6``).
    """
    runs = _runs(text, start, end)
    at = next((i for i, run in enumerate(runs) if run[0].start <= start < run[-1].end), None)
    if at is None:
        return None
    run = _balanced(text, runs[at], start)
    begin, stop = run[0].start, run[-1].end
    relations = [token for token in _at_top(run) if token.kind == "relation"]
    if any(_INEQUALITIES.match(text, token.start) for token in relations):
        return _with_word_before(text, run[0], _with_conditions_before(text, runs[:at], begin)), stop
    if relations and start >= relations[-1].end:
        if _is_sum_of(text, run, relations):
            return begin, relations[-1].start
        begin = _equation(text, run, relations, whole=begin == runs[at][0].start)
    value = text[begin:stop]
    alone = _NUMBER.fullmatch(value) or (value[-1] in _UNITS and _NUMBER.fullmatch(value[:-1]))
    label = ":" in value and _LABEL.search(text[max(0, begin - 20) : begin])
    return None if alone or label else (_with_word_before(text, run[0], begin), stop)


def _with_word_before(text: str, first: Token, begin: int) -> int:
    """Where the word, or the mathematics between marks, begins that a formula's first sign goes on from."""
    if begin != first.start or first.kind not in ("sign", "relation") or text[begin] in "-−–√":
        return begin
    before = _WORD_BEFORE.search(text[max(0, begin - 60) : begin])
    return begin - len(before.group()) if before else begin


def is_another_name(text: str, begin: int, end: int) -> bool:
    """Whether an ``or`` before a formula that holds an equality says the same again (``this volume, or V = 5``)."""
    return "=" in text[begin:end] and _JUST_OR.search(text[max(0, begin - 6) : begin]) is not None


def _equation(text: str, run: list[Token], relations: list[Token], whole: bool) -> int:
    """Where the part of an equation begins that says its value: its last side, or before one that has to be right.

    That is a sum that comes to another number, mathematics without unknowns, and what is not called by a name.
    """
    begin, last, stop = run[0].start, relations[-1], run[-1].end
    value = next(token.start for token in run if token.start >= last.end)
    if len(relations) > 1:
        begin, whole = next(token.start for token in run if token.start >= relations[-2].end), True
    side = text[begin : last.start].strip()
    tokens = [token for token in run if begin <= token.start < last.start]
    if tokens and tokens[0].kind in _STARTS | {"function"} and _is_rounded(text, begin, last, value, stop):
        return begin
    whole = whole and bool(tokens) and not _is_open_left(text, run, begin)
    if not whole or text[last.start] in "≈\\" or "%" in text[begin:stop] or _SMALLER_UNIT.match(text, stop):
        return value
    unknown = any(
        token.kind == "letter" and text[token.start] not in "iπ" for token in run if token.start >= value
    )
    if len(tokens) == 1 and tokens[0].kind == "number" and unknown:
        return begin
    if any(token.kind == "letter" for token in tokens):
        named = _NAME.fullmatch(side) is not None and not unknown
        chained = len(relations) > 1 or text[max(0, begin - 3) : begin].rstrip(" &").endswith("=")
        said = chained or named or _is_of_something(text, tokens)
        return value if said or _is_measured(text, tokens, run[-1]) else begin
    if len(tokens) > 1 and any(token.kind == "function" for token in run):
        return value if unknown else begin
    several = sum(token.kind == "number" for token in tokens) > 1
    return begin if several and plainly_differ(side, text[value:stop]) else value


def _is_rounded(text: str, begin: int, sign: Token, value: int, stop: int) -> bool:
    """Whether an equation ends in the decimal of a closed form (``3√41 = 19.2``): a quotient, a root or π."""
    side = text[begin : sign.start].strip()
    closed = "/" in side or "√" in side or "π" in side or "\\" in side or "sqrt" in side or "pi" in side
    return (
        closed
        and _DECIMAL.fullmatch(text, value, stop) is not None
        and is_rounded(spelled(side), text[value:stop])
    )


def _is_sum_of(text: str, run: list[Token], relations: list[Token]) -> bool:
    """Whether an equation says of a number what sum comes to it: ``21 = 3 * 7``."""
    if len(relations) != 1 or run[0].kind != "number" or run[1] is not relations[0] or len(run) == 3:
        return False
    number, total = (
        value_of(text[a:b]) for a, b in ((run[0].start, run[0].end), (run[2].start, run[-1].end))
    )
    return number is not None and number == total


def _is_of_something(text: str, tokens: list[Token]) -> bool:
    """Whether a formula is said to be what has a value (``the diameter is 2r = 20``), and so is no equation."""
    begin = tokens[0].start
    letters = {text[token.start : token.end] for token in tokens if token.kind == "letter"}
    return len(letters) == 1 and is_said(text, begin)


def is_said(text: str, begin: int) -> bool:
    """Whether a sentence says that something is what begins here, and that is no equation."""
    before = text[max(0, begin - 80) : begin].rpartition(". ")[2]
    return _IS.search(before) is not None and _EQUATION.search(before) is None


def _is_measured(text: str, tokens: list[Token], last: Token) -> bool:
    """Whether all letters of a sum are one unit: 3m + 4m = 7m, 400g / 200g = 2."""
    letters = {
        text[token.start : token.end] if text[max(0, token.start - 1)].isdigit() else ""
        for token in tokens
        if token.kind == "letter"
    }
    divided = any(text[token.start] in "/÷" for token in tokens)
    behind = _WORD_BEHIND.match(text, last.end) or text[last.start : last.end] in letters
    return len(letters) == 1 and letters <= _UNITS and (divided or bool(behind))


def _is_open_left(text: str, run: list[Token], begin: int) -> bool:
    """Whether what a run begins with goes on from something before it that was not read."""
    first = run[0]
    if first.start != begin:
        return False
    sign = first.kind == "sign" and (text[begin] not in "-−" or text[first.end : first.end + 1] == " ")
    called = first.kind == "open" and text[begin - 1 : begin].isalnum()
    return (
        sign
        or called
        or first.kind == "relation"
        or _GOES_ON.search(text[max(0, begin - 20) : begin]) is not None
    )


def _runs(text: str, start: int, end: int) -> list[list[Token]]:
    """What could be formulas in the line around a number, as their tokens."""
    line = text.rfind("\n", 0, start) + 1
    begin = max(line, start - _BEFORE)
    while line < begin < start and text[begin - 1].isalnum():
        begin += 1
    newline = text.find("\n", end)
    stop = min(end + _BEHIND, len(text) if newline < 0 else newline)
    runs: list[list[Token]] = [[]]
    for found in TOKEN.finditer(text, begin, stop):
        token = Token(str(found.lastgroup), found.start(), found.end())
        exclaimed = text[token.start] == "!" and not is_factorial(text, token.start)
        if token.kind in ("other", "rest") or exclaimed or _is_mark(text, token, line):
            runs.append([])
        elif runs[-1] and not _joined(text, runs[-1], token):
            runs.append([token])
        else:
            runs[-1].append(token)
    return [trimmed for run in runs if (trimmed := _trimmed(text, run))]


def _is_mark(text: str, token: Token, line: int) -> bool:
    """Whether a sign is the mark of a list or of a quotation, at the beginning of its line."""
    first = not text[line : token.start].strip()
    return first and token.kind in ("sign", "relation") and text[token.end : token.end + 1] == " "


def _joined(text: str, run: list[Token], token: Token) -> bool:
    """Whether a token goes on with what stands before it: side by side, or with a space where that is usual."""
    last = run[-1]
    gap = text[last.end : token.start]
    if token.kind == "comma" or last.kind == "comma":
        return len(gap) < 2 and _depth(run) > 0
    if not gap:
        return not (last.kind in ("letter", "number") and token.kind == "number" and last.kind == "number")
    if gap != " ":
        return False
    if last.kind == "letter" and token.kind == "function":
        return text[last.start : last.end] not in ("a", "A", "I")
    if last.kind in _ENDS and token.kind in _STARTS:
        letters = text[token.start : token.end]
        product = last.kind == "close" and token.kind == "open"
        constant = text[last.start : last.end] == "π" and token.kind == "letter"
        return product or constant or _ends_an_index(text, run) or letters in ("dx", "dy", "dt", "π", "∞")
    if token.kind == "sign" and last.kind in _ENDS and text[token.start] in "-−–":
        unknown = last.kind == "letter" and text[last.start : last.end] not in ("a", "A", "I")
        return unknown or len(run) > 1 or text[token.end : token.end + 1] == " "  # 7 - 3, but not: from 7 -3
    return True


def _ends_an_index(text: str, run: list[Token]) -> bool:
    r"""Whether a run ends in an index of what has an argument behind it: ``\\log_2``, ``\\sum_{k=1}^{5}``."""
    at = len(run) - 1
    if run[at].kind == "close":
        depth = 0
        while at >= 0:
            depth += {"open": 1, "close": -1}.get(run[at].kind, 0)
            if depth == 0:
                break
            at -= 1
    indexed = at > 1 and text[run[at - 1].start] in "_^"
    return indexed and any(token.kind == "function" for token in run[: at - 1])


def _depth(run: list[Token]) -> int:
    return sum({"open": 1, "close": -1}.get(token.kind, 0) for token in run)


def _trimmed(text: str, run: list[Token]) -> list[Token]:
    """A run without what joins nothing at its ends: an equality, a comma, a dash before a word, a rate's stroke."""
    while len(run) > 2 and text[run[0].start : run[0].end] == text[run[-1].start : run[-1].end] == "*":
        run = run[1:-1]  # *5*
    while run and (
        run[0].kind == "comma"
        or text[run[0].start : run[0].end] in ("=", "≈", "==", r"\approx", r"\equiv", "≡")
    ):
        run = run[1:]
    while run and (
        run[-1].kind in ("comma", "sign") or text[run[-1].start : run[-1].end] in ("=", "≈", r"\approx")
    ):
        if run[-1].kind == "sign" and text[run[-1].start] not in "-/−–:_":
            break
        run = run[:-1]
    return run


def _balanced(text: str, run: list[Token], number: int) -> list[Token]:
    """The part of a run around a number in which every bracket has its partner, without brackets around all of it."""
    first, last, opened = 0, len(run), []
    partner: dict[int, int] = {}
    for at, token in enumerate(run):
        if token.kind == "open":
            opened.append(at)
        elif token.kind == "close" and opened:
            partner[opened.pop()] = at
        elif token.kind == "close":
            first, last = (at + 1, last) if token.start < number else (first, min(last, at))
    for at in opened:
        first, last = (max(first, at + 1), last) if run[at].start < number else (first, min(last, at))
    while partner.get(first) == last - 1 and not _is_one_value(text, run[first:last]):
        first, last = first + 1, last - 1
    return run[first:last]


def _is_one_value(text: str, run: list[Token]) -> bool:
    """Whether brackets hold a pair, or are bars."""
    return text[run[0].start] == "|" or any(token.kind == "comma" for token in _at_top(run[1:-1]))


def _at_top(run: list[Token]) -> list[Token]:
    found, depth = [], 0
    for token in run:
        depth += {"open": 1, "close": -1}.get(token.kind, 0)
        if depth == 0:
            found.append(token)
    return found


def _with_conditions_before(text: str, runs: list[list[Token]], begin: int) -> int:
    """Where the first of several conditions begins that are joined by ``and`` or ``or``."""
    for run in reversed(runs):
        condition = any(token.kind == "relation" for token in run)
        if not condition or _JOINT.fullmatch(text, run[-1].end, begin) is None:
            break
        begin = run[0].start
    return begin
