r"""What an answer comes to: the 12 of ``3 \times 4 = 12``, of ``P(A) = 12`` and of ``\textbf{(B)}\ 12``."""

from __future__ import annotations

import re
from dataclasses import replace

from tad_core.verify.hedges import RELATED
from tad_core.verify.math_brackets import split_top
from tad_core.verify.math_shape import Form, Shape, shape_of
from tad_core.verify.math_text import clean
from tad_core.verify.math_units import reckons
from tad_core.verify.math_words import ASKING

_ORDERED = re.compile(r"[<>]|\\(?:le|ge|ne) ")
_COMMAND = re.compile(r"\\[A-Za-z]+")
#: commands that stand for nothing unknown
_KNOWN_NAMES = (
    "frac sqrt pi cdot times div binom dbinom tbinom circ overline bar dot sin cos tan cot sec csc arcsin arccos"
    " arctan ln log"
    " lfloor rfloor lceil rceil"
)
_KNOWN = frozenset("\\" + name for name in _KNOWN_NAMES.split())
#: in what is 0 of itself: the equation of a line, a plane, a circle
_NUMBER_TERM = re.compile(r"(?:^|[-+])\d+(?=$|[-+])")
_NAME = re.compile(r"[a-zA-Z](?:_\{?\w+\}?)?'?")
_FUNCTION = re.compile(r"[a-zA-Z]'?\([a-z](?:,[a-z])*\)")
#: what stands for one number: a function's value, an angle, a length, an area, a ratio, a word
_ASKED = re.compile(
    r"[A-Za-z]+'*(?:\^\{?-1\}?)?(?:_\{?\w+\}?)?\(.+\)|m?\\angle ?\w+|\|[^|]+\||\\l(?:floor|ceil).+|\d*[A-Za-z]{3,}.*"
    r"|\\(?:sin|cos|tan|cot|sec|csc)(?:\^\{?2\}?)? ?\(?\d? ?"
    r"(?:[A-Z]|\\(?:angle|theta|alpha|beta|gamma|delta|phi|varphi|psi)(?![a-z])).*|\\\|.+\\\|(?:\^2)?"
    r"|\\(?:overline|mathbb|det|widehat|sum|prod|lim|int|min|max).*|\[[A-Z]{3,}\]|\\triangle ?[A-Z]{3}"
    r"|\\gcd.*|\d+\\bmod ?\d+"
    r"|.+\\(?:[cl]?dots)(?![a-z]).*|\d+_\{?\d+\}?|[A-Za-z](?:[:/][A-Za-z])+|\\frac\{[A-Za-z]+\}\{[A-Za-z]+\}"
)
#: sums to a number, integrals and derivatives of what holds no other letter: they can be reckoned out
_WORKED_OUT = re.compile(
    r"\\(?:sum|prod)_\{(?P<index>[a-z])=[^{}]*\}\^(?:\{[^{}]*\}|\d).+|\\frac\{d\}\{d(?P<unknown>[a-z])\}.+"
    r"|\\int_(?:\{[^{}]*\}|\d)\^(?:\{[^{}]*\}|\d).+d(?P<variable>[a-z])"
)
#: words that say of a number that it is none (``undefined at x = 2``), but for the event of ``P(not A)``
_DENYING = re.compile(r"(?<!^P\()not|undefined|except|unless")
#: what may be one number whatever its letters are
_MAY_CANCEL = re.compile(r"\\(?:frac|sin|cos|tan|cot|log|ln)(?![a-z])")
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\\?%")
_NUMERAL = re.compile(r"\d+_\{?\d+\}?")
_CHOSEN = re.compile(
    r"(?:\\text(?:bf|rm)?\s*\{\s*)?(?:(?i:option|choice|answer)\s)?(?:\(([A-F])\)|([A-F])[).:])(?=[\s}\\~])\s*(\})?"
    r"(?:\\[,;: ]|~|\s)*(?=\S)"
)
#: behind a choice: another one, or that it is none (``A: 12 or B: 13``, ``(B) is wrong``)
_NOT_CHOSEN = re.compile(
    r"\b(?:or|nor|and|not|but)\s\(?[A-F](?:[):.]|$)|^\W*(?:is|was)\s(?:wrong|incorrect|false|not)\b"
)
_NAMED_CHOICE = re.compile(r"(?:\\text(?:bf|rm)?\s*\{\s*)?(?i:option|choice)\s\(?([A-Fa-f])\)?\s*\}?")
#: a number with what belongs to it, and what a sentence about one number does not hold
_WRITTEN_NUMBER = re.compile(r"-?\$?-?\d[\d,]*(?:\.\d+)?(?:\s?/\s?\d+)?")
#: ``Ann sold 48+24 = 72 clips``: a sum of numbers alone
_RECKONED_OUT = re.compile(r"[A-Za-z]{2}\s[^,;=A-Za-z]*\d\s?[-+*/x×]\s?\$?\d[^,;=A-Za-z]*=[^,;=]+$")
_VERB = re.compile(r"[A-Za-z]{3} (?:is|are|was|were|equals|has|have) ")
#: words of a sentence that neither reckon nor doubt, behind the number and before it
_LINKING = re.compile(r"\b(?:is|was)\b")
_AND_NAME = re.compile(r"\band (?=[A-Z][a-z])")
_JOINING = re.compile(r"\b(?:is|was|be|and|total|correct|right)\b")
_NO_SENTENCE = re.compile(
    r"[\\^_=<>+*(){}\[\]?:;|]|\d[A-Za-z]|[A-Za-z]\d|\d\s?-|-\s"
    rf"|\b(?:sum|percent) of|\b(?:step|part|page|problem|question|example|case)\b|{ASKING}\b",
    re.IGNORECASE,
)
_RELATED = re.compile(rf"\b{RELATED}\b", re.IGNORECASE)
_LETTER = re.compile(r"\(?[A-F]\)?")
_EITHER = re.compile(r"(.+?)\s?\\text\s?\{\s?or\s?\}\s?(.+)")
_HOUR = re.compile(r"(\d{1,2}):(\d\d)")


def without_choice(answer: str, other: str) -> str:
    """The letter of ``(B) 12`` where the other is a letter, else its 12."""
    if named := _NAMED_CHOICE.fullmatch(answer):
        return named[1].upper()
    chosen = _CHOSEN.match(answer)
    if chosen is None or chosen.end() == len(answer) or answer[chosen.end() :] == "}":
        return answer
    rest = answer[chosen.end() :]
    if answer.startswith("\\text") and not chosen[3]:
        if not rest.endswith("}") or "{" in rest:
            return answer
        rest = rest[:-1]
    if re.match(
        r"[,;/|&+\-*=<>^_]|\\(?:text\s*\{\s*(?:or|and)\b|lor|cup|cdot|times)|(?:or|and)\b", rest.lstrip("$ ")
    ) or _NOT_CHOSEN.search(rest):
        return answer
    if _LETTER.fullmatch(clean(other)):
        return (chosen[1] or chosen[2]).upper()
    return rest


def either_of(reference: str) -> tuple[str, ...]:
    """The two notations of a reference that gives both, where answers give one: 28 or ``28_9``, 20:34 or 8:34 p.m."""
    parts = _EITHER.fullmatch(reference)
    if parts is None:
        return ()
    first, second = shape_of(parts[1]), shape_of(parts[2])
    based = second.form is Form.BASED and first.form is not Form.BASED and first.text == second.text
    return (parts[1], parts[2]) if based or _same_time(first, second) else ()


def _same_time(first: Shape, second: Shape) -> bool:
    """Whether a time by 24 hours is the other by twelve."""
    times = _HOUR.fullmatch(first.text), _HOUR.fullmatch(second.text)
    if times[0] is None or times[1] is None or first.unit or second.unit not in ("am", "pm"):
        return False
    hour = int(times[1][1]) % 12 + (12 if second.unit == "pm" else 0)
    return (int(times[0][1]), times[0][2]) == (hour, times[1][2])


def is_sentence(answer: str) -> bool:
    """Whether an answer says in words what is what (``\\text{The minimum value is 3}``)."""
    return _VERB.search(answer) is not None


def number_said(answer: str) -> Shape | None:
    """The one number of a sentence (``Ann sells 9 eggs``, ``$18/day``) that neither reckons with it nor doubts it."""
    text = re.sub(r"\\(?:text|textbf|mathrm) ?\{([^{}]*)\}|\*\*", r" \1 ", answer).replace("\\$", "$")
    text = re.sub(r"\(([A-Za-z ]+)\)", r"\1", text)  # 5 (apples)
    if text.count("=") == 1 and _RECKONED_OUT.search(text):
        text = "It is " + text.partition("=")[2]
    numbers = _WRITTEN_NUMBER.findall(text)
    if len(numbers) != 1 or not re.search(r"[A-Za-z]{2}", text) or _NO_SENTENCE.search(text):
        return None
    before, _, behind = text.partition(numbers[0])
    if (
        _RELATED.search(before)
        or reckons(_JOINING.sub(" ", before))
        or reckons(_LINKING.sub(" ", _AND_NAME.sub("", behind)))
    ):
        return None
    return shape_of(numbers[0].replace(" ", ""))


def end_of(
    shape: Shape, other: Shape, is_reference: bool = False
) -> tuple[Shape, list[tuple[str, str]]] | None:
    """Where an equation says what something is, that value, and the pairs of sides that must be equal for it.

    ``3 \\times 4 = 12`` is 12 if its sides are equal; ``x = \\frac{24}{2} = 12`` is 12 by the name of x; of ``P(A) =
    12``, ``a + b = 12`` and ``\\text{Area} = 12`` the left is what was asked for. An equation to be solved
    (``2x = 12``) says no value unless it is reckoned out (``2x = 3 \\times 4 = 12``), and no more does one of several
    unknowns that is itself what was asked for: a reference (``x + y + z = 0``). An identity (``(x-1)^2 = x^2-2x+1``)
    is its right side. None where ``other`` is an equation, too, or there is no value.
    """
    if shape.form is not Form.RELATION or other.form in (
        Form.RELATION,
        Form.COLLECTION,
        Form.UNION,
        Form.MATRIX,
    ):
        return None
    if _ORDERED.search(shape.text):
        return None
    sides = split_top(shape.text, "=")
    last = sides[-1]
    if not _is_constant(last):
        return None if is_reference else _end_of_identity(sides, other)
    names, pairs, others = [], [], []
    for side in sides[:-1]:
        if _is_constant(side) or _can_be_worked_out(side):
            pairs.append((side, last))
        elif _NAME.fullmatch(side):
            names.append(side)
        else:
            others.append(side)
    to_be_solved = is_reference or (last == "0" and _NUMBER_TERM.search(sides[0]) is not None)
    asked = bool(names and sides[0] == names[0]) or _is_asked(sides[0], to_be_solved)
    # What is reckoned out (f(a) = 9 * 25 = 225) is no equation to be solved, nor is what comes to a name.
    reckoned = not is_reference and len(sides) > 2 and bool(pairs or asked)
    if others and not reckoned and not (others == sides[:1] and asked):
        if is_reference or not all(map(_MAY_CANCEL.search, others)):
            return None
        pairs += [(side, last) for side in others]  # an identity: sin^2 x + cos^2 x = 1
    if other.name and other.name not in names:
        return None
    value = shape_of(last)
    pairs = [_without_percent(pair, shape.unit == "%") for pair in pairs]
    if value.form is not Form.NUMBER and not names and not others and shape_of(sides[0]).form is Form.NUMBER:
        value = shape_of(sides[0])  # 15 = 3 * 5
    return replace(value, unit=value.unit or shape.unit, name=other.name or "".join(names[:1])), pairs


def _without_percent(pair: tuple[str, str], is_percent: bool) -> tuple[str, str]:
    r"""Two sides without per cent: of ``100\% - 30\% = 70\%`` the numbers, of ``20\% \times 50 = 10`` shares."""
    if "%" not in pair[0]:
        return pair
    return (_PERCENT.sub(r"\1" if is_percent else r"\\frac{\1}{100}", pair[0]), pair[1])


def _end_of_identity(sides: list[str], other: Shape) -> tuple[Shape, list[tuple[str, str]]] | None:
    """The right side of ``(x-1)^2 = x^2-2x+1``, if it is what every other side is, too, but for a name before them."""
    name = sides[0] if _NAME.fullmatch(sides[0]) or _FUNCTION.fullmatch(sides[0]) else ""
    others = sides[1:-1] if name else sides[:-1]
    if other.form is not Form.SCALAR or not others or (other.name and other.name != name):
        return None
    return replace(shape_of(sides[-1]), name=other.name), [(side, sides[-1]) for side in others]


def _is_asked(side: str, to_be_solved: bool) -> bool:
    """Whether a side stands for a number that may be asked for, and is no equation's to be solved for one letter."""
    several = not to_be_solved and len(set(_letters(side))) > 1
    return _DENYING.search(side) is None and (_ASKED.fullmatch(side) is not None or several)


def _can_be_worked_out(side: str) -> bool:
    """Whether a sum, a product, an integral or a derivative holds no letter but the one it goes over."""
    found = _WORKED_OUT.fullmatch(side)
    if found is None or "|" in side or "\\infty" in side:
        return False
    over = found["index"] or found["unknown"] or found["variable"]
    return set(_letters(side)) <= {over, "e"} | (set() if found["index"] else {"d"})


def _is_constant(side: str) -> bool:
    if _NUMERAL.fullmatch(side):  # 11_2, which is 3 and yet is not 3 where answers are compared
        return False
    known = all(command in _KNOWN for command in _COMMAND.findall(side))
    return known and all(letter in "ie" for letter in _letters(side))


def _letters(side: str) -> list[str]:
    return re.findall(r"[A-Za-z]", _COMMAND.sub(" ", side))
