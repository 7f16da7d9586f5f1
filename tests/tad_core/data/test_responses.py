from __future__ import annotations

import pytest
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import PreTrainedTokenizerFast

from tad_core.data.responses import closed_response, end_ids, response_text, text_length
from tad_core.data.tokenizer import build_tokenizer


def dream_like() -> PreTrainedTokenizerFast:
    """Dream's special tokens over a few words."""
    inner = Tokenizer(WordLevel({"it": 0, "is": 1, "4": 2, "?": 3}, unk_token="?"))
    inner.pre_tokenizer = WhitespaceSplit()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|beginoftext|>", "<|mask|>"]
    inner.add_special_tokens([AddedToken(t, special=True) for t in special])
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|endoftext|>")


TOKENIZERS = {"llada": (build_tokenizer(), "<|eot_id|>"), "dream": (dream_like(), "<|im_end|>")}


@pytest.fixture(params=TOKENIZERS)
def family(request):
    return TOKENIZERS[request.param]


def ids_of(tokenizer, text):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def test_each_family_ends_its_turn_in_its_own_way(family):
    tokenizer, turn = family
    names = set(tokenizer.convert_ids_to_tokens(sorted(end_ids(tokenizer))))
    assert names == {turn, "<|endoftext|>"}


def test_text_stops_at_the_first_end_whichever_it_is(family):
    tokenizer, turn = family
    ends, said = end_ids(tokenizer), ids_of(tokenizer, "it is 4")
    for tail in (f"{turn}<|endoftext|>", f"<|endoftext|>{turn}", f"{turn} it", "<|endoftext|> it is", ""):
        response = said + ids_of(tokenizer, tail)
        assert text_length(response, ends) == len(said)
        assert response_text(tokenizer, response, ends) == tokenizer.decode(said)
    assert text_length(ids_of(tokenizer, turn), ends) == 0


def test_other_special_tokens_are_no_text(family):
    tokenizer, turn = family
    start = "<|start_header_id|>" if turn == "<|eot_id|>" else "<|im_start|>"
    response = ids_of(tokenizer, f"it {start} is 4{turn}")
    assert response_text(tokenizer, response, end_ids(tokenizer)) == tokenizer.decode(
        ids_of(tokenizer, "it is 4")
    )


def test_a_closed_response_ends_the_turn_and_fills_with_end_of_text(family):
    tokenizer, turn = family
    said = ids_of(tokenizer, "it is 4")
    closed = closed_response(tokenizer, "it is 4", len(said) + 3)
    assert closed == said + ids_of(tokenizer, turn) + [tokenizer.eos_token_id] * 2
    assert closed_response(tokenizer, "it is 4", len(said) + 1) == closed[:-2]
    assert closed_response(tokenizer, "it is 4", len(said)) is None  # no room for its end
    assert text_length(closed, end_ids(tokenizer)) == len(said)


def test_a_tokenizer_without_turns_ends_the_text_alone():
    inner = Tokenizer(WordLevel({"it": 0, "?": 1}, unk_token="?"))
    inner.add_special_tokens([AddedToken("</s>", special=True)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="</s>")
    assert closed_response(tokenizer, "it", 3) == [0, tokenizer.eos_token_id, tokenizer.eos_token_id]
