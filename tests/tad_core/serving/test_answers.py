"""The text of a response while it becomes known."""

from __future__ import annotations

import pytest

from tad_core.decoding import Decoded
from tad_core.decoding.spec import Seen
from tad_core.serving.answers import GrowingText, Took, usage


class Words:
    """A tokenizer of bytes; token 0 ends the text."""

    ends = frozenset({0})

    @property
    def tokenizer(self):
        return self

    def decode(self, ids, skip_special_tokens):
        return bytes(ids).decode(errors="replace")


def grown(text, most=100, stops=(), pieces=1, end=True):
    """Everything that is sent, piece by piece."""
    growing = GrowingText(Words(), most, stops)
    ids = [*text.encode(), *([0] if end else [])]
    cuts = [*range(pieces, len(ids), pieces), len(ids)]
    return growing, [growing.grow(ids[:cut], cut == len(ids)) for cut in cuts]


@pytest.mark.parametrize("pieces", [1, 2, 3, 50])
def test_it_only_grows_and_ends_as_the_whole(pieces):
    text = "Grüße, 東京 🙂 and more"
    growing, sent = grown(text, pieces=pieces)
    assert "".join(sent) == growing.text == text and growing.finish == "stop"
    assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in sent)


@pytest.mark.parametrize("pieces", [1, 2, 3, 50])
@pytest.mark.parametrize(
    ("text", "stops", "wanted"),
    [
        ("one two three", ["two"], "one "),
        ("one two three", ["three", "two"], "one "),
        ("a\n\nb", ["\n\n"], "a"),
        ("a\nb\n", ["\n\n"], "a\nb\n"),
        ("aab", ["aab"], ""),
        ("aaab", ["aab"], "a"),
    ],
)
def test_a_stop_string_is_never_sent_in_part(pieces, text, stops, wanted):
    growing, sent = grown(text, stops=stops, pieces=pieces)
    assert "".join(sent) == growing.text == wanted and growing.finish == "stop"


def test_what_ends_at_its_length_says_so():
    growing, sent = grown("abcdef", most=4)
    assert "".join(sent) == "abcd" and growing.finish == "length" and growing.tokens == 4
    growing, sent = grown("abcd", most=5)
    assert growing.finish == "stop" and growing.tokens == 4
    growing, _ = grown("abcd", end=False)
    assert growing.finish == "length"
    assert growing.grow([1, 2, 3], True) == "", "nothing follows an end"


@pytest.mark.parametrize("pieces", [1, 3, 50])
def test_tokens_are_those_of_the_text_however_many_were_known_when_it_ended(pieces):
    growing, _ = grown("one two three", stops=["two"], pieces=pieces)
    assert growing.text == "one " and growing.tokens == 4
    growing, _ = grown("Grü two", stops=["two"], pieces=pieces)
    assert growing.text == "Grü " and growing.tokens == 5
    growing, _ = grown("two", stops=["two"], pieces=pieces)
    assert growing.text == "" and growing.tokens == 0


class Tidy(Words):
    """One that writes what follows into what it wrote before."""

    def decode(self, ids, skip_special_tokens):
        return super().decode(ids, skip_special_tokens).replace(" ' ", "'")


def test_the_whole_text_is_right_where_a_stream_could_not_take_back():
    growing = GrowingText(Tidy(), 100, ())
    ids = list(b"it ' s")
    sent = growing.grow(ids[:4], False) + growing.grow(ids, True)
    assert sent == growing.text == "it '" and growing.whole == "it's"
    growing = GrowingText(Tidy(), 100, ())
    ids = list(b"it ' s here, and more")
    sent = [growing.grow(ids[:known], known == len(ids)) for known in (4, 6, 12, len(ids))]
    assert sent == ["it '", "", " here,", " and more"] and growing.whole == "it's here, and more"
    growing, _ = grown("one two", stops=["tw"])
    assert growing.whole == growing.text == "one "


def test_what_a_response_took():
    whole = Decoded([5, 6, 0, 0], 2, [1, 2, 2, 0], True, computed=20)
    assert Took.of(whole, 9) == Took(2, 3, 20)
    assert Took.of(Seen([5, 9, 6, 9], 1, 2), 9) == Took(2, 2)
    counted = usage(7, [3, 2], [Took(2, 3), Took(2, 2)], 0.25)
    assert counted["total_tokens"] == 12 and counted["tokens_per_forward"] == 1.25
    assert usage(7, [0], [Took()], 0.1)["tokens_per_forward"] == 0.0
