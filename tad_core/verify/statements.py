r"""Answers without a digit, in the last sentence of a text: the function is odd, Evelyn is the fastest, ``$x+y$``."""

from __future__ import annotations

import re

from tad_core.verify.hedges import is_denied

#: what makes a statement one of some cases alone
_CONDITION = re.compile(
    r"[,;]?\s(?:whenever"
    r"|when(?!\s(?:divided|expanded|simplified|written|evaluated|factored|rounded|expressed|compared)\b)"
    r"|where|if|unless|only\s(?:if|when)|provided|as long as|outside|inside"
    r"|for (?:some|certain|most|even|odd|small|large|the (?:first|second|third|other|former|latter))\b)(?:\s|$)",
    re.IGNORECASE,
)
#: what models say behind an answer
_CHATTER = re.compile(
    r"(?:i hope|let me know|hope this|feel free|please|if you (?:have|need|want)|is there anything"
    r"|this (?:completes|concludes)"
    r"|thank|great|note\b|q\.?e\.?d|(?:this|the|that|my) (?:\w+ )?(?:answer|solution|result"
    r"|reasoning) is (?:correct|right|verified)"
    r"|this (?:matches|confirms|agrees|makes)|problem:|question:)",
    re.IGNORECASE,
)
_MARKS = re.compile(r"^[\s#>*•-]+(?=[^\s*])|\s+$")
_SENTENCE = re.compile(r"(?<=[.!?])(?:\*\*)?\s+(?=[\"*$\\(]*[A-Z])")
_BEGINNING = re.compile(
    r"^(?:(?:so|thus|therefore|hence|then|consequently|in conclusion|finally|we (?:see|find|conclude|have|know"
    r"|get) that"
    r"|it follows that|this (?:means|shows|implies) that|and|conclusion:|result:|that is)\b,?\s*)+",
    re.IGNORECASE,
)
_REASON_BEFORE = re.compile(
    r"^(?:since|because|as|given that)\s.{1,300}?,\s(?:we (?:see|find|conclude|have|know|get) that\s)?",
    re.IGNORECASE,
)
_REASON_BEHIND = re.compile(
    r",?\s(?:since|because|due to|so that|for (?:all|every|any)|(?<=, )(?:which|where)|whereas|while|by the|from the"
    r"|in (?:this|the) (?:case|equation|problem)|for (?:this|the) )(?:\s|$).*$",
    re.IGNORECASE,
)
_CONDITIONAL = re.compile(r"^(?:if|when|unless|suppose|assum\w+|let|consider|whether)\b", re.IGNORECASE)
_OPEN = re.compile(
    r"\b(?:maybe|perhaps|possibly|probably|might|could|may|either|or|not|never|cannot|unknown|unclear|likely"
    r"|whether|but|guess)\b|n't\b|\?\s*$",
    re.IGNORECASE,
)
#: words that say of what is named that it is not it, or of mathematics that more is to be done with it
_EXCLUDED = re.compile(
    r"\b(?:except|excluding|excludes?d?|eliminat\w+|rul(?:es?|ed|ing) out|reject\w*|discard\w*"
    r"|other than|besides|apart from|rather than|instead of|far from|fails? to"
    r"|hardly|barely|otherwise|wait|actually|sorry|wrong|incorrect|untrue)\b",
    re.IGNORECASE,
)
_RECKONED = re.compile(
    r"\b(?:half|third|quarter|twice|double|triple|thrice|roots?|square(?! (?:units?|[a-z]*meters?|feet|inch))"
    r"|squared|cubed?|times|product|quotient|difference|sum|minus|plus|divided|multiplied|less|more|greater|larger"
    r"|smaller|bigger|above|below|under|over|reciprocal|inverse|opposite|negative|close|near\w*|almost|factorial|multiples?|powers?"
    r"|logarithm|absolute)\b",
    re.IGNORECASE,
)
#: what makes another formula of the one beside it: ``2 $x$``, ``$x$ + 1``
_SIGN_BEFORE = re.compile(r"[-+*/^√\d]\s?$")
_SIGN_BEHIND = re.compile(r"[-+*/^×÷\d(](?! )|\s[-+*/×÷^]\s?[\d$(]")
_AND_FORMULA = re.compile(r",? (?:and )?\$([^$]+)\$")
#: what may follow a conclusion that there is none, and says the same
_NONE_AGAIN = re.compile(
    r"\b(?:no|none|not|empty|inconsistent|impossible|contradict\w*|zero|undefined)\b|emptyset|varnothing|∅",
    re.I,
)
_ANOTHER_CLAUSE = re.compile(r"[,;]?\s(?:so|and|but|while|yet)\s(.*)", re.DOTALL)
_UNTRUE = re.compile(
    r"\b(?:not true|false|if|unless|when|where|whether|maybe|perhaps|possibly|or|might|could|may)\b", re.I
)
_OTHER_WORD = {"yes": "no", "no": "yes", "true": "false", "false": "true"}
_NO_SOLUTION = re.compile(
    r"\b(?:there (?:is|are|exists?)|has|have|having|with) no (?:(?:real|valid|integer|possible"
    r"|such) )*(?:solutions?|roots?|values?)\b"
    r"|\bno (?:(?:real|valid|integer|possible) )*solutions? exists?\b|\bno such [\w$]+ exists?\b"
    r"|\bis (?:the )?(?:empty set|unsolvable|inconsistent)\b",
    re.IGNORECASE,
)
_DOES_NOT_EXIST = re.compile(r"\bdoes not exist\b", re.IGNORECASE)
_YES_OR_NO = re.compile(r"^(yes|no|true|false)(?:[.,!:;]|\s*$)", re.IGNORECASE)
_CHOICE = re.compile(
    r"^(?:option|choice|answer)?\s?\(?([A-F])\)?\s(?:is|must be|would be)\s(?:the\s)?(?:correct|right|best|answer)\b"
    r"|^\(?([A-F])[).](?:\s|$)|(?:^|[\s,])\(([A-F])\)$|\b(?:option|choice)\s\(?([A-F])\)?$",
    re.IGNORECASE,
)
_NEITHER = re.compile(r"\b(?:is|are) neither\s\w+\snor\s\w+[.!]?$", re.IGNORECASE)
_SUBJECT = re.compile(
    r"^(?:the )?([A-Z][a-z]+)(?:'s (?:\w+ )?(?:speed|pace|rate|score|grade|total|average|time|number|count"
    r"|amount|share|distance|height|weight|age|value|price|cost|result|answer|method|work))?"
    r" (?:is|are|was|has|had|have|will be|runs|ran|wins|won|gets|got) (?:the )?"
    r"(?:one (?:who|with|that)\b|\w*(?:est|most|least|first|last|only|winner|correct|greater|more|larger|smaller"
    r"|faster|slower|taller)\b)"
)
_ALL_REALS = re.compile(r"\b(?:is|are|includes?|be)(?: the set of)? (?:all|any) real(?:s| numbers?)$")
_NO_NAME = re.compile(r"(?:It|This|That|There|The|Here|He|She|They|We|You|Which|What|These|Those)")
_LINK = re.compile(
    r"\b(?:is|are|was|were|be|becomes?|equals?|equal to|called|named|gets?|gives?|yields?|obtain|represents?"
    r"|describes?|falls? on|lands? on|namely)\b(?::| that\b)?\s*|:\s+"
)
_ARTICLE = re.compile(
    r"^(?:(?:therefore|thus|then|simply|just|also|indeed|exactly|actually|given by|equal to|the (?:equation"
    r"|graph) of)\s)*(?:(?:an?|the)\s(?=[a-z]{3}|[A-Z][a-z]))?"
)
_BOLD = re.compile(r"\*\*([^*]+)\*\*|(?<![\\\w])_([A-Za-z ]+)_(?!\w)")
_FORMULA = re.compile(r"\$\$?([^$]+)\$\$?|\\\((.+?)\\\)|\\\[(.+?)\\\]")
_LABEL = re.compile(r"^(?:(?:final |correct )?answer|conclusion|result|solution)s?\s?:?$", re.IGNORECASE)
_ROWS = re.compile(r"\\begin\{(align\*?|gather\*?|equation\*?)\}(.{1,900}?)\\end\{\1\}", re.DOTALL)
_COMMAND = re.compile(r"\\(?!text|mathrm|mbox)[A-Za-z]+|\\(?:text|mathrm|mbox)[a-z]*")
_WORD = re.compile(r"[A-Za-z]{3}")
_UNITS = re.compile(r"\s(?:(?:square|cubic)\s)?(?:units?|radians)$")
_NOUN = re.compile(
    r"^(\w{3,}) (function|number|integer|triangle|quadrilateral|matrix|relation|curve|conic|angle|day)$"
)
_DISPLAYED = re.compile(r"\\\[[^$]{1,400}?\\\]|\$\$[^$]{1,400}?\$\$")
#: Words of an answer, and characters of the end of a text that are looked at.
_MOST_WORDS = 5
_WIDTH = 1_500


def is_of_words(reference: str) -> bool:
    """Whether what is looked for is said without any digit."""
    return bool(reference.strip()) and not any(char.isdigit() for char in reference)


def last_statement(text: str, reference: str = "") -> str:
    """What the last sentence of a text says in words or letters; empty where it says nothing, or leaves it open.

    Of ``an even function`` it is the noun, too, if the reference has it.
    """
    end = _ROWS.sub(_last_row, text[-_WIDTH:])
    in_words = _WORD.search(_COMMAND.sub(" ", reference)) is not None or not reference
    said = _stated(_DISPLAYED.sub(lambda found: " ".join(found.group().split()), end), in_words)
    noun = _NOUN.match(said)
    return noun[1] if noun and noun[2] not in reference else said


def _last_row(rows: re.Match[str]) -> str:
    """The last row of several equations, as mathematics in prose."""
    row = [row for row in re.split(r"\\\\(?:\[[^\]]*\])?", rows[2]) if row.strip(" &\n")] or [rows[2]]
    return f"${' '.join(row[-1].replace('&', ' ').split()).strip(' =.,')}$ "


def _stated(text: str, in_words: bool) -> str:
    sentence = _last_sentence(text)
    if not sentence:
        return ""
    for pattern, answer in (
        (_NO_SOLUTION, r"\text{no solution}"),
        (_DOES_NOT_EXIST, r"\text{does not exist}"),
    ):
        if none := pattern.search(sentence):
            return answer if _is_conclusion(sentence, none) else ""
    if word := _YES_OR_NO.match(sentence):
        taken_back = re.search(rf"\b{_OTHER_WORD[word[1].lower()]}\b\W*$", sentence, re.IGNORECASE)
        return "" if taken_back or " or " in sentence or _EXCLUDED.search(sentence) else word[1]
    if _NEITHER.search(sentence):
        return "neither"
    sentence = _REASON_BEHIND.sub("", _REASON_BEFORE.sub("", sentence)).rstrip(" .!,;:")
    if not sentence or _CONDITIONAL.match(sentence):
        return ""
    said = _said(sentence, in_words)
    link, at = _LINK.search(sentence), sentence.rfind(said) + 1
    conditional = _CONDITION.search(sentence, min(link.end() - 1, at) if link else at)
    if conditional or _EXCLUDED.search(sentence.replace(said, " ")):
        return ""
    if _OPEN.search(sentence.replace(said, " ")) or _OPEN.search(said):
        return ""
    return said


def _is_conclusion(sentence: str, none: re.Match[str]) -> bool:
    """Whether a sentence ends in that there is none, and not in what follows from it or for one case alone."""
    before, behind = sentence[: none.start()], sentence[none.end() :]
    before = _REASON_BEFORE.sub("", before)
    if "?" in sentence or _EXCLUDED.search(before + behind) or _UNTRUE.search(before):
        return False
    behind = _REASON_BEHIND.sub("", behind) if not _CONDITION.match(behind) else behind
    another = _ANOTHER_CLAUSE.search(behind)
    return _CONDITION.match(behind) is None and (
        another is None or _NONE_AGAIN.search(another[1]) is not None
    )


def _last_sentence(text: str) -> str:
    """The last sentence that is no chatter, without what marks it."""
    for line in reversed([line for line in text.split("\n") if line.strip(" *#_`|-=>\t")][-6:]):
        for sentence in reversed(_SENTENCE.split(_MARKS.sub("", line))):
            plain = sentence.strip().strip("`").strip()
            if plain and not _CHATTER.match(plain.lstrip("*_ ")) and not _LABEL.match(plain.strip("*: ")):
                return _BEGINNING.sub("", plain.removeprefix("**") if plain.count("**") % 2 else plain)
    return ""


def _said(sentence: str, in_words: bool) -> str:
    """What a sentence says of its subject, or which subject it says something of.

    In words before mathematics, or the other way round.
    """
    if chosen := _CHOICE.search(sentence.replace("*", "")):
        return next(group for group in chosen.groups() if group).upper()
    if (bold := list(_BOLD.finditer(sentence))) and len(bold) == 1:
        inner = (bold[0][1] or bold[0][2]).strip(" .:")
        if inner != sentence.strip("* ."):
            return "" if is_denied(sentence, *bold[0].span()) else _value(inner)
        sentence = _BEGINNING.sub("", inner)
    if _ALL_REALS.search(sentence):
        return r"\mathbb{R}"
    subject = _SUBJECT.match(sentence)
    if subject and not _NO_NAME.fullmatch(subject[1]):
        return subject[1]
    links = list(_LINK.finditer(sentence))
    formulas = list(_FORMULA.finditer(sentence))
    if links and not (formulas and formulas[-1].start() < links[-1].start() < formulas[-1].end()):
        complement = sentence[links[-1].end() :]
        held = _FORMULA.search(complement)
        if held and len(complement) - len(held.group()) < 25:
            around = complement[: held.start()] + complement[held.end() :]
            if _RECKONED.search(around) or _SIGN_BEFORE.search(sentence[: links[-1].end() + held.start()]):
                return ""
            if _SIGN_BEHIND.match(complement, held.end()):
                return ""
            also = _AND_FORMULA.match(complement, held.end())
            return f"{_formula(held)}, {also[1]}" if also else _formula(held)
        if (in_words or not formulas) and (found := _value(complement)):
            return found
    if formulas:
        return _formula(formulas[-1])
    return "" if links else _value(sentence)


def _formula(found: re.Match[str]) -> str:
    return next(group for group in found.groups() if group).strip().rstrip(".,")


def _value(words: str) -> str:
    """Words as an answer; empty where they are too many."""
    words = _UNITS.sub("", _ARTICLE.sub("", words.partition(" with ")[0].strip(" .*=")).strip(" .*"))
    return (
        words
        if 0 < len(words.split()) <= _MOST_WORDS or re.fullmatch(r"[\w\s+*/^=().,√π-]{1,60}", words)
        else ""
    )
