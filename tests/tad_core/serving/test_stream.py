"""The engine as a stream: samples of several models and ways, joining and leaving from other threads."""

from __future__ import annotations

import itertools
import queue
import random
import threading
import weakref
from dataclasses import replace

import pytest
import torch

from tad_core.decoding import Decoded, DecodeSpec, Request, decode_requests, new_fitting
from tad_core.decoding.spec import Job, Seen
from tad_core.errors import LogitsError, OutOfMemoryError
from tad_core.serving import stream as streaming
from tad_core.serving.stream import Stream
from tad_core.serving.tickets import BusyError, ClosingError, CrowdError, Ticket
from tests.tad_core.decoding.naive_decoder import FormulaModel
from tests.tad_core.decoding.test_decode import random_llada
from tests.waiting import CEILING_S

SPECS = [
    DecodeSpec(16, 4, "entropy", 2.0, 0.25),
    DecodeSpec(8, 8, "entropy", 1.0, 0.0, cache="dual"),
    DecodeSpec(12, 4, "confidence", 0.3, early_stop=False),
    DecodeSpec(4, 2),
]
WIDTH = 32


def ticket(name, spec, seed=0, each=None, prompt=(3, 4)):
    """A ticket and the queue of what it is told."""
    told: queue.Queue = queue.Queue()
    job = Job(Request(list(prompt), ("", 0), 0.7 if seed else 0.0), spec, seed, watched=each is not None)
    return Ticket(name, job, told.put, each), told


def outcome(told):
    while isinstance(one := told.get(timeout=CEILING_S), Seen):
        pass
    return one


def alone(model, job):
    return decode_requests(model, [job.request], job.spec, 1, new_fitting(), job.seed)[0]


@pytest.fixture
def opened():
    """Streams that are closed in the end."""
    made = []

    def make(models, slots=4, waiting=500, start=True):
        stream = Stream(models, slots, waiting, WIDTH)
        if start:
            stream.start()
        made.append(stream)
        return stream

    yield make
    for stream in made:
        if stream.alive:
            stream.close(CEILING_S)
            assert not stream.alive


@pytest.mark.parametrize("together", [False, True], ids=["alone on a CPU", "in one forward"])
@pytest.mark.parametrize("count", [50, pytest.param(200, marks=pytest.mark.slow)])
def test_many_at_once_get_what_they_get_alone(opened, together, count, monkeypatch):
    if together:
        monkeypatch.setattr(streaming, "at_once", lambda device_type, wanted: wanted)
    models = {"a": random_llada(), "b": random_llada(mlp_hidden_size=32)}
    stream = opened(models, slots=6)
    draw = random.Random(0)
    asked = []
    for i in range(count):
        prompt = [draw.randrange(2, 20) for _ in range(draw.randint(1, 12))]
        each = draw.choice((None, "block", "forward"))
        asked.append(ticket(draw.choice("ab"), draw.choice(SPECS), i % 3, each, prompt))
    parts = [asked[i::8] for i in range(8)]
    threads = [threading.Thread(target=lambda part=p: [stream.submit([t]) for t, _ in part]) for p in parts]
    for thread in threads:
        thread.start()
    for one, told in asked:
        assert outcome(told) == alone(models[one.model], one.job)
    assert stream.open == stream.running == 0


def test_blocks_are_told_as_they_complete(opened):
    model = FormulaModel()
    stream = opened({"m": model})
    spec = DecodeSpec(16, 4, "entropy", 0.5, 1.0, early_stop=False)
    one, told = ticket("m", spec, each="block")
    stream.submit([one])
    leads = []
    while isinstance(seen := told.get(timeout=CEILING_S), Seen):
        assert model.mask_token_id not in seen.tokens[: seen.lead]
        leads.append(seen.lead)
    assert leads == [4, 8, 12], "the last block comes with the end"
    assert isinstance(seen, Decoded)


def test_the_cancelled_free_their_slots_for_those_that_wait(opened):
    model = FormulaModel()
    stream = opened({"m": model}, slots=2, start=False)
    long = [ticket("m", DecodeSpec(24, 4, early_stop=False)) for _ in range(10)]
    short, told = ticket("m", SPECS[0])
    stream.submit([t for t, _ in long])
    stream.submit([short])
    stream.cancel([t for t, _ in long])
    stream.start()
    assert outcome(told) == alone(model, short.job)
    assert all(q.empty() for _, q in long)
    stream.cancel([short])
    stream.close(CEILING_S)
    assert stream.open == 0


def test_only_so_many_may_be_open(opened):
    stream = opened({"m": FormulaModel()}, slots=1, waiting=2, start=False)
    stream.submit([ticket("m", SPECS[0])[0] for _ in range(2)])
    with pytest.raises(BusyError, match="1 responses wait and at most 2 may"):
        stream.submit([ticket("m", SPECS[0])[0] for _ in range(2)])
    last, told = ticket("m", SPECS[0])
    stream.submit([last])
    stream.start()
    outcome(told)
    stream.submit([ticket("m", SPECS[0])[0]])


def test_what_waits_for_one_model_leaves_the_slots_of_another(opened):
    """Slots are of each model, and of each kind of forwards; the queue is of all."""
    models = {"a": random_llada(), "b": random_llada()}
    stream = opened(models, slots=2, waiting=0, start=False)
    for name, spec in (("a", SPECS[0]), ("b", SPECS[0]), ("a", SPECS[1])):
        stream.submit([ticket(name, spec)[0] for _ in range(2)])
        with pytest.raises(BusyError, match="0 responses wait and at most 0 may"):
            stream.submit([ticket(name, spec)[0]])


def test_more_at_once_than_there_may_ever_be_is_not_busy(opened):
    stream = opened({"m": FormulaModel()}, slots=1, waiting=2, start=False)
    with pytest.raises(CrowdError, match="4 responses are asked for at once, and at most 3 may be"):
        stream.submit([ticket("m", SPECS[0])[0] for _ in range(4)])
    assert stream.open == 0


def test_closing_finishes_what_is_open_and_takes_nothing_new(opened):
    stream = opened({"m": FormulaModel()}, slots=1, start=False)
    asked = [ticket("m", SPECS[2]) for _ in range(5)]
    stream.submit([t for t, _ in asked])
    stream.start()
    stream.close(CEILING_S)
    assert all(isinstance(outcome(told), Decoded) for _, told in asked)
    with pytest.raises(ClosingError, match="takes no new requests"):
        stream.submit([ticket("m", SPECS[0])[0]])


class Small(FormulaModel):
    """Has memory for so many at once."""

    def __init__(self, room):
        super().__init__()
        self.room, self.most = room, 0

    def packed(self, ids_T, packing, *rest):
        self.most = max(self.most, sum(n > 0 for n in packing.tokens.counts))
        if sum(n > 0 for n in packing.tokens.counts) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().packed(ids_T, packing, *rest)


def test_what_does_not_fit_begins_again_with_fewer_and_no_block_is_told_twice(opened, monkeypatch):
    monkeypatch.setattr(streaming, "at_once", lambda device_type, wanted: wanted)
    model = Small(room=2)
    stream = opened({"m": model}, slots=8, start=False)
    spec = DecodeSpec(16, 4, "entropy", 0.5, 1.0, early_stop=False)
    asked = [ticket("m", spec, each="block", prompt=[i + 2]) for i in range(7)]
    stream.submit([asked[0][0]])
    stream.start()
    first = asked[0][1].get(timeout=CEILING_S)
    stream.submit([t for t, _ in asked[1:]])
    told = [first] + [asked[0][1].get(timeout=CEILING_S) for _ in range(3)]
    assert [seen.lead for seen in told[:3]] == [4, 8, 12]
    assert told[3] == alone(FormulaModel(), asked[0][0].job)
    for one, q in asked[1:]:
        assert outcome(q) == alone(FormulaModel(), one.job)
    assert model.most > 2


def test_nothing_of_what_did_not_fit_is_held_when_the_next_begins(opened, monkeypatch):
    """Its cache beside the new one's would not fit either, and so on down to one sample."""
    monkeypatch.setattr(streaming, "at_once", lambda device_type, wanted: wanted)
    begun, alive = [], []

    def noted(made, *rest):
        alive.append([turn() for turn in begun if turn() is not None])
        opening(made, *rest)
        begun.append(weakref.ref(made[-1]))

    opening = streaming._open_turn
    monkeypatch.setattr(streaming, "_open_turn", noted)
    stream = opened({"m": Small(room=2)}, slots=8, start=False)
    asked = [ticket("m", SPECS[0], prompt=[i + 2]) for i in range(7)]
    stream.submit([t for t, _ in asked])
    stream.start()
    assert [outcome(q) for _, q in asked] == [alone(FormulaModel(), t.job) for t, _ in asked]
    assert alive == [[], [], []]  # of 8, of 4, of 2


@pytest.mark.parametrize("number", range(0, 24, 3))
def test_memory_may_run_out_in_any_forward(opened, monkeypatch, number):
    monkeypatch.setattr(streaming, "at_once", lambda device_type, wanted: wanted)
    model, forwards = FormulaModel(), itertools.count()
    packed = model.packed

    def once(*args):
        if next(forwards) == number:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return packed(*args)

    monkeypatch.setattr(model, "packed", once)
    stream = opened({"m": model}, slots=3, start=False)
    spec = DecodeSpec(16, 4, "entropy", 0.5, 1.0, early_stop=False)
    asked = [ticket("m", spec, each="block", prompt=[i + 2]) for i in range(7)]
    stream.submit([t for t, _ in asked])
    stream.start()
    for one, told in asked:
        seen = list(iter(lambda told=told: told.get(timeout=CEILING_S), alone(FormulaModel(), one.job)))
        assert [part.lead for part in seen] == [4, 8, 12], "each block is told once"
        assert told.empty()
    assert next(forwards) > number, "it ran out"


def test_where_not_even_one_fits_it_is_told_and_others_go_on(opened):
    stream = opened({"small": Small(room=0), "m": FormulaModel()})
    bad, bad_told = ticket("small", SPECS[0])
    good, good_told = ticket("m", SPECS[0])
    stream.submit([bad, good])
    assert isinstance(outcome(bad_told), OutOfMemoryError)
    assert isinstance(outcome(good_told), Decoded)


class Faulty(FormulaModel):
    """Fails once."""

    failed = False

    def packed(self, *args):
        if not self.failed:
            self.failed = True
            raise ValueError("a fault")
        return super().packed(*args)


def test_a_fault_is_told_to_whom_it_hits_and_the_next_are_served(opened):
    stream = opened({"m": Faulty()}, slots=1)
    hit, hit_told = ticket("m", SPECS[0])
    stream.submit([hit])
    assert isinstance(outcome(hit_told), ValueError)
    after, told = ticket("m", SPECS[0])
    stream.submit([after])
    assert isinstance(outcome(told), Decoded)


class Allergic(FormulaModel):
    """Fails whenever a prompt begins with one token."""

    def packed(self, ids_T, packing, *rest):
        if ((ids_T == 9) & (packing.at_T == 0)).any():
            raise ValueError("a fault")
        return super().packed(ids_T, packing, *rest)


class Speechless(FormulaModel):
    """Gives no numbers for a sample whose prompt begins with 9."""

    def hidden(self, input_ids_BL, attention_mask_BL=None):
        return (
            super()
            .hidden(input_ids_BL, attention_mask_BL)
            .masked_fill((input_ids_BL[:, 0] == 9)[:, None, None], torch.nan)
        )


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("kind", "fault"), [(Allergic, ValueError), (Speechless, LogitsError)])
def test_who_was_beside_a_sample_that_fails_gets_what_it_gets_alone(opened, kind, fault, monkeypatch):
    monkeypatch.setattr(streaming, "at_once", lambda device_type, wanted: wanted)
    stream = opened({"m": kind()}, slots=4, start=False)
    asked = [ticket("m", SPECS[i % 2 * 2], each="block", prompt=[2 + i % 8, i % 3]) for i in range(12)]
    stream.submit([one for one, _ in asked])
    stream.start()
    for i, (one, told) in enumerate(asked):
        if one.job.request.prompt_ids[0] == 9:
            assert isinstance(outcome(told), fault)
        else:
            assert outcome(told) == alone(FormulaModel(), one.job), i
    assert stream.open == stream.running == 0


@pytest.mark.parametrize("where", ["_Turn", "_Turn.give"], ids=["opening a loop", "joining it"])
def test_a_fault_before_the_first_forward_is_told_likewise(opened, where, monkeypatch):
    stream = opened({"m": FormulaModel()}, slots=1)

    def fails(*_):
        monkeypatch.undo()
        raise ValueError("a fault")

    owner, _, name = where.rpartition(".")
    monkeypatch.setattr(streaming._Turn if owner else streaming, name, fails)
    hit, hit_told = ticket("m", SPECS[0])
    stream.submit([hit])
    assert isinstance(outcome(hit_told), ValueError)
    after, told = ticket("m", SPECS[0])
    stream.submit([after])
    assert isinstance(outcome(told), Decoded)
    assert stream.open == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_engine_that_has_ended_takes_nothing(opened):
    stream = opened({"m": FormulaModel()}, slots=1)
    stream._inbox.put(lambda: 1 / 0)
    stream._thread.join(CEILING_S)
    assert not stream.alive
    with pytest.raises(ClosingError, match="takes no new requests"):
        stream.submit([ticket("m", SPECS[0])[0]])


def test_a_listener_that_fails_is_nobody_elses_trouble(opened):
    stream = opened({"m": FormulaModel()})

    def gone(told):
        raise RuntimeError("the event loop is closed")

    bad, _ = ticket("m", SPECS[0], each="forward")
    bad.listener = gone
    good, told = ticket("m", SPECS[0])
    stream.submit([bad, good])
    assert isinstance(outcome(told), Decoded)


def test_a_cache_that_a_family_has_not_is_told(opened):
    stream = opened({"m": FormulaModel()})
    one, told = ticket("m", replace(SPECS[0], cache="dual"))
    stream.submit([one])
    assert "cannot decode with a cache" in str(outcome(told))
