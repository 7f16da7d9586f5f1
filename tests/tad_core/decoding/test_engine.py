"""Many requests in one engine: slots, progress, prompts that are refused, and memory that runs out."""

import pytest
import torch

from tad_core.decoding import DecodeSpec, decode
from tad_core.errors import DataError, OutOfMemoryError
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


def test_a_prompt_too_long_for_the_model_is_refused():
    llada, spec = random_llada(), DecodeSpec(16, 4)
    with pytest.raises(DataError, match="prompt 0: 4090 tokens"):
        decode(llada, [[2] * 4090], spec)


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
