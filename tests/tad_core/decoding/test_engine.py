"""Many requests in one engine: slots, progress, prompts that are refused, and memory that runs out."""

from dataclasses import replace

import pytest
import torch

from tad_core.decoding import DecodeSpec, decode
from tad_core.decoding.policies import POLICIES
from tad_core.decoding.policies.token_by_token import TokenByToken
from tad_core.errors import ConfigError, DataError, LogitsError, OutOfMemoryError
from tad_core.fitting import Fitting
from tests.tad_core.decoding.naive_decoder import FormulaModel
from tests.tad_core.decoding.test_decode import SPECS, prompts_of, random_llada

torch.set_num_threads(1)


@pytest.mark.usefixtures("together")
def test_forwards_are_those_the_model_served():
    model = FormulaModel(3, eos_bonus=2.0)
    outs = decode(model, [[2, 3]] * 3 + [[4, 5]] * 2 + [[6]], DecodeSpec(16, 4, "entropy", 0.6, 0.5))
    assert model.rows == sum(o.forwards for o in outs)  # finished samples left their batch
    assert all(o.wall_s > 0 for o in outs)


@pytest.mark.usefixtures("together")
def test_slots_that_may_not_all_be_filled_at_once_are_filled_one_forward_later(monkeypatch):
    monkeypatch.setattr("tad_core.decoding.loop.ENTERING_TOKENS", 40)
    model, packed, busy = FormulaModel(3), FormulaModel.packed, []

    def counted(self, ids_T, packing, *rest):
        busy.append(sum(count > 0 for count in packing.tokens.counts))
        return packed(self, ids_T, packing, *rest)

    monkeypatch.setattr(FormulaModel, "packed", counted)
    prompts, spec = prompts_of(6), DecodeSpec(16, 4, early_stop=False)
    company = decode(model, prompts, spec, 6)
    assert busy == [2, 5, *[6] * 14, 4, 1]
    assert company == decode(model, prompts, spec, 1)


@pytest.mark.usefixtures("together")
def test_nothing_is_compiled_on_a_cpu(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda *_, **__: pytest.fail("compiled"))
    decode(FormulaModel(5), [[2, 3]], DecodeSpec(8, 4))
    decode(random_llada(), [[2, 3]], DecodeSpec(8, 4, cache="dual"))


@pytest.mark.usefixtures("together")
def test_progress_ends_at_the_total():
    seen = []
    decode(FormulaModel(), prompts_of(7), DecodeSpec(8, 4), batch_size=2, on_progress=seen.append)
    assert [p.total for p in seen] == [7] * len(seen)
    assert seen[-1].done == 7
    assert [p.done for p in seen] == sorted(p.done for p in seen)


@pytest.mark.parametrize("batch_size", [0, -1])
@pytest.mark.usefixtures("together")
def test_nobody_waits_for_a_slot_that_there_is_not(batch_size):
    with pytest.raises(ConfigError, match=rf"batch_size: {batch_size} is not accepted; use a number of 1 or"):
        decode(FormulaModel(), [[2]], DecodeSpec(4, 4), batch_size)


def test_a_prompt_too_long_for_the_model_is_refused():
    llada, spec = random_llada(), DecodeSpec(16, 4)
    with pytest.raises(DataError, match="prompt 0: 4090 tokens"):
        decode(llada, [[2] * 4090], spec)


class Overflowing(FormulaModel):
    """As a damaged adapter or float16 has it: what it gives is no number, from forward ``after`` on, at ``places``."""

    def __init__(self, after, places):
        super().__init__(3)
        self.after, self.places = after, places

    def hidden(self, input_ids_BL, attention_mask_BL=None):
        hidden_BLV = super().hidden(input_ids_BL, attention_mask_BL)
        if self.calls > self.after:
            hidden_BLV[:, self.places] = torch.nan
        return hidden_BLV


@pytest.mark.timeout(120)
@pytest.mark.parametrize("after", [0, 2])
@pytest.mark.parametrize(
    "places", [slice(None), slice(-1, None), slice(2, 3)], ids=["all", "the last", "one"]
)
@pytest.mark.parametrize(
    "spec",
    [
        DecodeSpec(8, 4), DecodeSpec(8, 8, "entropy", 0.5), DecodeSpec(8, 4, "entropy", 9.0, 0.0),
        DecodeSpec(8, 4, "d3llm_dream", 0.5, 0.0), DecodeSpec(8, 8, "confidence", 0.9),
        DecodeSpec(8, 4, "entropy_block", 0.5), DecodeSpec(8, 8, "factor", factor=0.1),
        DecodeSpec(8, 8, "low_confidence", tokens_per_forward=1), DecodeSpec(8, 8, "fixed_budget", forward_budget=8),
        DecodeSpec(8, 4, "pipeline", 0.9, 0.0),
    ],
    ids=lambda s: f"{s.method} {s.threshold:g}",
)  # fmt: skip
def test_a_model_that_gives_no_numbers_is_an_error_and_not_decoded_without_an_end(spec, places, after):
    model = Overflowing(after, places)
    try:
        decode(model, [[2, 3]], replace(spec, early_stop=False))
    except LogitsError as error:
        assert "logits for a prompt of 2 tokens are not numbers" in str(error)
    else:
        assert after, "only what was revealed before can have had a score"


def test_a_method_that_reveals_nothing_is_found_out(monkeypatch):
    class Idle(TokenByToken):
        def choose(self, scores_BL, open_BL):
            return torch.zeros_like(open_BL)

    monkeypatch.setitem(POLICIES, "token_by_token", Idle)
    with pytest.raises(AssertionError, match="token_by_token revealed none"):
        decode(FormulaModel(3), [[2, 3]], DecodeSpec(8, 4))


class Small(FormulaModel):
    """Runs out of memory with more than ``most`` sequences in a forward, from number ``after`` on."""

    most, after = 3, 0

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.batches = []

    def packed(self, ids_T, packing, *rest):
        self.batches.append(len(packing.tokens.counts))
        if self.batches[-1] > self.most and len(self.batches) > self.after:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super().packed(ids_T, packing, *rest)


@pytest.mark.usefixtures("together")
@pytest.mark.parametrize("spec", SPECS[:5], ids=str)
@pytest.mark.parametrize("after", [0, 2, 4])
def test_a_batch_that_does_not_fit_is_halved_and_changes_nothing(spec, after):
    prompts = [[2, 3, 4]] * 5 + [[5, 6]] * 8
    expected = decode(FormulaModel(1, eos_bonus=1.5), prompts, spec, batch_size=8)
    model, said, told = Small(1, eos_bonus=1.5), [], []
    model.after = after
    most = Fitting("evaluate.batch_size", "less", said.append)
    decoded = decode(model, prompts, spec, 8, lambda p: told.append(p.done), most)
    assert decoded == expected
    assert told == sorted(set(told)) and told[-1] == len(prompts)
    failures = sum(rows > model.most for rows in model.batches[after:])
    assert 1 <= len(said) == failures <= 2
    assert max(model.batches[-4:]) <= model.most
    model.batches.clear()
    assert decode(model, prompts[:4], spec, 8, fitting=most) == expected[:4]
    assert max(model.batches) <= model.most, "what did not fit is not tried again"


def test_one_prompt_that_does_not_fit_is_an_error():
    model = Small(1)
    model.most = 0
    with pytest.raises(
        OutOfMemoryError, match=r"evaluate\.batch_size.*prompt of 2 tokens and a response of 16 "
    ):
        decode(model, [[2, 3], [4, 5]], SPECS[0])
