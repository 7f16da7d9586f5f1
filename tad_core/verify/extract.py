"""Find the final answer in a model's text; ``blocks.py`` finds the program."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence

from tad_core.verify.asides import without_asides
from tad_core.verify.blocks import END_TOKEN
from tad_core.verify.boxes import another_behind, boxed_answer, last_boxed
from tad_core.verify.config import DEFAULT_ORDER, ExtractRule
from tad_core.verify.exclaimed import is_factorial
from tad_core.verify.givens import without_givens
from tad_core.verify.hedges import (
    RECKONED,
    SEVERAL_IN_DOLLARS,
    corrected,
    is_denied,
    is_doubted_claim,
    said_again,
    said_instead,
    says_the_same,
    taken_back,
)
from tad_core.verify.math_number import simple_number
from tad_core.verify.math_spelling import spelled
from tad_core.verify.math_units import in_one_unit, is_measure, split_unit, unit_name
from tad_core.verify.numbers import explained, last_conclusion, last_number, last_value
from tad_core.verify.statements import is_of_words, last_statement
from tad_core.verify.thoughts import without_thoughts
from tad_core.verify.turns import first_problem, first_turn

__all__ = ["after_hashes", "extract_answer", "last_boxed"]

_THE_ANSWER_IS = re.compile(
    r"(?:\banswer(?:\s\([A-Za-z ]{1,40}\))?\s+is\s*:?|\banswer(?:\*\*)?\s*:)(?:\*\*(?=\s))?\s*", re.IGNORECASE
)
#: the same of a choice, where a letter and nothing else is named
_THE_CHOICE_IS = re.compile(
    r"(?i:\b(?:correct|right|best)\s(?:answer\s)?(?:choice|option)\sis)\s?:?\s?"
    r"(?=[*$(]{0,4}(?:\\\()?(?:\\text(?:bf|rm)?\s?\{)?\(?[A-F](?:[)}.:,*$\\\n]|\s?\Z))"
)
_CLAUSE_END = re.compile(r"[.;!?](?:\s|$)|\s(?:because|since|so|which|as|if|when|(?:and\s)?I\shope)\s")
#: a mark of mathematics, not of money
_DOLLAR = re.compile(r"(?<!\\)\$")
#: what is left of a claim that was cut
_CUT = re.compile(r"[\s*:$]*(?:\b(?:the|final|correct|answer|is)\b[\s*:]*){0,5}", re.IGNORECASE)
_PROSE = re.compile(
    r"(?:the|that|there|equal to|equals|about|approximately|exactly|only|just|an?|it|therefore|thus|then|hence|simply"
    r"|also|indeed|given by)\s",
    re.IGNORECASE,
)
#: ``$5$ apples``: mathematics, where ``$5 and $6`` are sums of money
_NUMBER_IN_DOLLARS = re.compile(r"\$\d[^$]*\$\s+[A-Za-z][^$]*$")
_DOLLARS = re.compile(r"\\?\$(\d[\d,]*(?:\.\d+)?)\Z")
#: ``$5 + $3 = $8``: a sum of money, whose signs are no mathematics
_SUM_OF_MONEY = re.compile(r"(?:\$?[\d.,]+%?\s?[-+*/×=]\s?)+\$?[\d.,]*\d")
_MATH = re.compile(
    r"\$\$?(?:(?!\d)|(?=[^$]*\\[A-Za-z]))((?:\\.|[^$\\])+)\$\$?|\\\((.+?)\\\)|\*\*(.+?)\*\*|\\\[(.+?)\\\]",
    re.DOTALL,
)
#: between two formulas that are one answer
_AND = re.compile(r",?\s?(?:and|,)\s(?=\$|\\\()")
_END_TOKENS = re.compile(END_TOKEN)
_RAISED = re.compile("[²³¹⁰⁴-⁹₀-₉√]")
_UNIT_BEHIND = re.compile(r"\s?((?:square |cubic )?[A-Za-z]{1,12})\b(?!\s?(?:per|of|by|/|\^|[²³]))")
#: what an answer holds that is mathematics, or a choice
_GIVEN = re.compile(r"[\d\\$]|^\W*[A-Za-z]\W*$")
#: ``x = 3. Also, x = 4.``
_ALSO = re.compile(
    r"(?<![\w\\])(?P<name>[a-z]) ?= ?(?P<first>-?[\d./]*\d)[$.,;]{0,3} (?:and )?also,? \$?(?P=name) ?= ?"
    r"(?P<second>-?[\d./]*\d)[$.]{0,3}\s*\Z",
    re.IGNORECASE,
)
_PICTURES = re.compile("[\u2600-\u27bf\u2b50\ufe0f\U0001f300-\U0001faff]+")
_BOLD = re.compile(r"\*\*\*([^*\n]{1,80})\*\*\*|(?<![\w\\{])__(?=[^\s_])([^_\n]{1,80})__(?![\w}])")
#: alone, or behind a whole number: 3½
_VULGAR = re.compile(r"(?<![\w}])(\d+)?\s?([¼-¾⅐-⅞])(?![\w√])")
#: a heading that is no answer, and one behind which an answer stands
_HEADING = re.compile(
    r"\W*(?:\d+[.)]\s*)?(?:step|part|case|solution|explanation|conclusion|calculations?|verif\w+|check\w*|summary|result|analysis"
    r"|method|approach|understand\w*|given|notes?|problem|question|example)\b",
    re.IGNORECASE,
)
_ANSWER_HEADING = re.compile(
    r"[\s*_]*(?:the\s)?(?:final\s|correct\s)?answer(?:\sis|:|[\s*_])*(?=\S|$)", re.IGNORECASE
)
_DIGITS = re.compile(r"\d+")
_FOR_WHAT = re.compile(r"^(?:after|in|for|on|at|by|before|during)\s[^,.:]{1,40},\s", re.IGNORECASE)
_QUOTED = re.compile(r"([`\"'])([^`\"']+)\1")
_DISPLAY = re.compile(r"\s*(?:\$\$|\\\[)([^$]{1,400}?)(?:\$\$|\\\])", re.DOTALL)
#: what is said of an answer that was given: ``the answer is correct``
_SPOKEN_OF = re.compile(
    r"(?:indeed |also |therefore )?(?:correct|right|verified|confirmed|valid|reasonable|consistent)\b"
)
#: and so is an answer of one formula without digits that are typed.
_SHORT = 40
#: A claim that was cut is shorter than this.
_LONGEST_CUT = 80
#: Claims of an answer that are looked at, from the last one on.
_MAX_CLAIMS = 64
#: Marks that are looked behind, from the last one on.
_MAX_HASHES = 64
#: Longer texts than any answer: what lies further from the end than this is not looked at.
_MAX_TEXT = 1_000_000


def extract_answer(
    text: str, order: Sequence[ExtractRule] = DEFAULT_ORDER, reference: str = "", question: str = ""
) -> str:
    """The final answer in ``text`` by the first rule of ``order`` that finds one; empty if none does.

    Of a reference no more is taken than whether it has digits: if not, it is the last statement that counts, before
    the last number. Of a question it is which numbers it gives, and what it asks for.
    """
    text = _END_TOKENS.sub(" ", first_turn(text[-_MAX_TEXT:]))
    text = _in_plain_bold(without_thoughts(_in_plain_signs(text)))
    text = first_problem(text, lambda part: _is_answered(part, order))
    for rule in order:
        found = _last(text, reference, question) if rule == "last_number" else _RULES[rule](text)
        if found:
            return found
    alone = text.strip()
    return alone if len(alone) < _SHORT and _RAISED.search(alone) and "\n" not in alone else ""


def _is_answered(text: str, order: Sequence[ExtractRule]) -> bool:
    """Whether a text gives an answer in so many words, and does not just speak of one (``the answer is needed``)."""
    return any(_GIVEN.search(_RULES[rule](text)) for rule in order if rule in _RULES)


def _last(text: str, reference: str, question: str) -> str:
    """The last value of a text, or what its last sentence says where the reference has no digits."""
    if is_of_words(reference) and (said := last_statement(text, reference)):
        return said
    if also := _ALSO.search(text, max(0, len(text) - _LONGEST_CUT)):
        return ", ".join(f"{also['name']} = {value}" for value in (also["first"], also["second"]))
    of_several = reference.removeprefix("\\left").startswith("(")
    said = without_givens(without_asides(text), question)
    return _with_unit(text, last_value(said, of_several), reference)


def _with_unit(text: str, number: str, reference: str) -> str:
    """A number with the unit that stands behind it, where the reference has a unit of a measure."""
    if not is_measure(split_unit(reference)[1]) or simple_number(number) is None:
        return number
    behind = _UNIT_BEHIND.match(text, text.rfind(number) + len(number))
    return rf"{number}\text{{ {behind[1]}}}" if behind and is_measure(unit_name(behind[1])) else number


def _in_plain_signs(text: str) -> str:
    """A text without pictures, and with fractions and minus signs as they are typed."""
    if text.isascii():
        return text
    text = _PICTURES.sub(" ", text.replace("−", "-"))
    return _VULGAR.sub(_fraction, text)


def _in_plain_bold(text: str) -> str:
    """A text whose bold words stand between two stars, however they are marked: ``***5***``, ``__5__``."""
    return _BOLD.sub(r"**\1\2**", text) if "***" in text or "__" in text else text


def _fraction(sign: re.Match[str]) -> str:
    above, _, below = unicodedata.normalize("NFKC", sign[2]).partition("⁄")
    return f"{sign[1] or ''}{' ' if sign[1] else ''}{above}/{below}"


def after_hashes(text: str) -> str:
    """The rest of the line after the last ``####``, the form of GSM8K's references.

    Headings are no answers (``#### Step 2``); of ``#### Final Answer`` it is what follows.
    """
    for tail in reversed(text.split("####")[1:][-_MAX_HASHES:]):
        line, _, below = tail.strip().partition("\n")
        heading = _ANSWER_HEADING.match(line)
        if heading:
            line = line[heading.end() :] or below.strip().partition("\n")[0]
        if line.strip() and not _HEADING.match(line):
            return line.strip(" =*_")
    return ""


def after_the_answer_is(text: str) -> str:
    """What follows the last 'the answer is' ('the correct choice is', if there is none), to the end of the sentence.

    An answer that is doubted ('I do not think that the answer is 2'), spoken of ('the answer is correct') or cut ('the
    final') is none where another one stands before it.
    """
    claims = (list(_THE_ANSWER_IS.finditer(text)) or list(_THE_CHOICE_IS.finditer(text)))[-_MAX_CLAIMS:]
    doubted = [is_doubted_claim(text, claim.start()) for claim in claims]
    for claim, doubt in zip(reversed(claims), reversed(doubted), strict=True):
        again = claim is not claims[0] and (_SPOKEN_OF.match(text, claim.end()) or _is_cut(text, claim.end()))
        if not doubt and not again:
            claimed = _claimed(text, claim.end())
            if goes_on := taken_back(text, claim.end()):  # to another answer, which the text ends in
                return last_value(without_asides(text[goes_on:])) or f"{claimed}?"
            return claimed
    return f"{_claimed(text, claims[-1].end())}?" if claims else ""


def _is_cut(text: str, start: int) -> bool:
    """Whether a text ends before the answer that begins at ``start`` was whole."""
    rest = text[start : start + _LONGEST_CUT]
    formulas = _DOLLAR.split(rest)
    open_formula = formulas[-1] if len(formulas) % 2 == 0 else ""
    unfinished = rest.count("{") > rest.count("}") or "\\" in open_formula
    return len(rest) < _LONGEST_CUT and (unfinished or _CUT.fullmatch(rest) is not None)


def _claimed(text: str, start: int) -> str:
    """The answer that begins at ``start``."""
    rest = text[start:]
    line = rest.split("\n", 1)[0].strip()
    if displayed := _DISPLAY.match(rest):
        return last_conclusion(" ".join(displayed[1].split()).rstrip(". ,"))
    math = _MATH.match(line)
    if math:
        answer = last_conclusion(next(group for group in math.groups() if group is not None))
        while (joint := _AND.match(line, math.end())) and (more := _MATH.match(line, joint.end())):
            answer += ", " + next(group for group in more.groups() if group is not None).strip()
            math = more
        if is_denied(line, math.start(), math.end()):
            return f"{answer}?"
        if (other := corrected(line, math.end())) and not says_the_same(answer, other):
            return other
        return answer + another_behind(line, math.end(), answer)
    begin = text.index(line, start)
    ends = _CLAUSE_END.finditer(line)
    sentence_end = next((end for end in ends if not _is_mathematics(text, begin + end.start())), None)
    clause = (line[: sentence_end.start()] if sentence_end else line).replace("**", "").strip(" *\t")
    if clause.endswith("$") and clause.count("$") % 2:
        clause = clause[:-1].rstrip("\\")
    if sentence_end and (other := corrected(line, sentence_end.start())) and not says_the_same(clause, other):
        return other
    if clause.startswith("not ") and (instead := said_instead(line)):
        return _claimed(text, begin + instead)
    if sentence_end and (other := said_again(line, sentence_end.start())) and _is_another(clause, other):
        return _DOLLARS.sub(r"\1 dollars", clause) + f" or {other}"  # one quantity in two units is either
    clause = explained(clause) or _without_what_for(clause)
    if quoted := _QUOTED.fullmatch(clause):
        clause = quoted[2]
    if (
        _SUM_OF_MONEY.fullmatch(clause)
        or SEVERAL_IN_DOLLARS.match(clause)
        or _NUMBER_IN_DOLLARS.match(clause)
    ):
        return clause.replace("$", "")
    asked = sentence_end is not None and sentence_end.group().startswith("?")
    if asked or (sentence_end and is_denied(line, 0, sentence_end.start())):
        return clause + "?"
    if _PROSE.match(clause) and not RECKONED.search(clause):  # "the answer is the sum of both, 12"
        return last_value(clause) or clause
    return clause


def _is_another(clause: str, other: str) -> bool:
    """Whether a number and its unit are not plainly the claim again."""
    return (
        not says_the_same(last_number(spelled(clause)), last_number(spelled(other)))
        and in_one_unit(clause, other) == clause
    )


def _without_what_for(clause: str) -> str:
    """A claim of several numbers without what it is for: ``after 2 days, 3 apples``, ``3 apples for 2 people``."""
    if len(_DIGITS.findall(clause)) < 2:
        return clause
    announced = f"the answer is {_FOR_WHAT.sub('', clause)}"
    return without_asides(announced).removeprefix("the answer is ").strip()


def _is_mathematics(text: str, end: int) -> bool:
    """Whether the mark at the end of a clause is a factorial's."""
    return text[end] == "!" and text[end - 1 : end].isdigit() and is_factorial(text, end)


_RULES: dict[ExtractRule, Callable[[str], str]] = {
    "boxed": boxed_answer,
    "hashes": after_hashes,
    "the_answer_is": after_the_answer_is,
}
