"""Samples that join and leave while others are decoded, each in its own way."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch

from tad_core.decoding import Decoded, DecodeSpec, Request, decode_requests, new_fitting
from tad_core.decoding.loop import Loop
from tad_core.decoding.packing import packer_of
from tad_core.decoding.sampling import tokens_and_scores
from tad_core.decoding.spec import Job, Lane
from tests.tad_core.decoding.naive_decoder import FormulaModel
from tests.tad_core.decoding.test_decode import random_llada

SPECS = [
    DecodeSpec(16, 4, "entropy", 2.0, 0.25),
    DecodeSpec(16, 4, "entropy", 2.0, 0.25, early_stop=False),
    DecodeSpec(8, 8, "entropy", 1.0, 0.0, mask_in_entropy=False),
    DecodeSpec(12, 4, "confidence", 0.3),
    DecodeSpec(4, 2),
]


@pytest.fixture(scope="module")
def llada():
    return random_llada()


def jobs(specs, count, vocab=11, seed=5):
    draw = random.Random(seed)
    return [
        Job(
            Request([draw.randrange(2, vocab) for _ in range(draw.randint(1, 9))], ("p", i), draw.choice((0.0, 0.8))),
            draw.choice(specs), seed=draw.randrange(5), watched=True,
        )
        for i in range(count)
    ]  # fmt: skip


def alone(model, job):
    return decode_requests(model, [job.request], job.spec, 1, new_fitting(), job.seed)[0]


@torch.inference_mode()
def run(model, given, slots, arriving, cached=False, dropped=()):
    """Everything, as it arrives: ``arriving[i]`` steps before the i-th is added; some are dropped half way."""
    done: dict[int, Decoded] = {}
    steps = 0
    with packer_of(model, slots, 25, Lane(cached)) as packer:
        loop = Loop(model, packer, 16)
        waiting = sorted(range(len(given)), key=lambda i: arriving[i])
        while waiting or loop.busy:
            while waiting and arriving[waiting[0]] <= steps:
                loop.add(waiting[0], given[waiting.pop(0)])
            for i in dropped:
                if steps == arriving[i] + 3:
                    loop.drop(i)
            done |= loop.step()
            steps += 1
        assert loop.load == loop.running == 0
    return done


@pytest.mark.parametrize("slots", [1, 3, 8])
def test_what_joins_late_and_is_decoded_otherwise_gets_what_it_gets_alone(llada, slots):
    given = jobs(SPECS, 24)
    arriving = [random.Random(1).randrange(30) for _ in given]
    done = run(llada, given, slots, arriving)
    assert len(done) == len(given)
    for i, job in enumerate(given):
        assert done[i] == alone(llada, job)


def test_greedy_samples_are_read_without_noise_beside_others_that_have_it(llada, monkeypatch):
    """On an accelerator the kernel with noise rounds scores otherwise."""
    heats = []

    def read(model, policy, hidden_ND, noise, fused):
        heats.append(set(noise.heat_N.tolist()) if noise else {0.0})
        return tokens_and_scores(model, policy, hidden_ND, noise, fused)

    monkeypatch.setattr("tad_core.decoding.loop.tokens_and_scores", read)
    given = [Job(Request([2, 3, i], ("p", i), 0.8 * (i % 2)), SPECS[i // 2 % 2]) for i in range(4)]
    run(llada, given, 4, [0, 0, 0, 0])
    assert {frozenset(h) for h in heats} == {frozenset({0.0}), frozenset({0.8})}


@pytest.mark.parametrize("slots", [1, 4])
def test_with_a_cache_too(llada, slots):
    given = jobs([replace(s, cache="dual") for s in SPECS[:3]], 12)
    done = run(llada, given, slots, list(range(12)), cached=True)
    for i, job in enumerate(given):
        assert done[i] == alone(llada, job)


def test_one_that_is_dropped_frees_its_slot_and_touches_nobody():
    model = FormulaModel()
    given = jobs(SPECS[1:4], 20)
    dropped = (0, 3, 4, 11)
    done = run(model, given, 2, [0] * 20, dropped=dropped)
    assert {0, 3}.isdisjoint(done)
    for i, one in done.items():
        assert one == alone(model, given[i])


@torch.inference_mode()
def test_a_loop_of_which_all_are_dropped_is_idle():
    model = FormulaModel()
    with packer_of(model, 2, 25, Lane(False)) as packer:
        loop = Loop(model, packer, 16)
        for i, job in enumerate(jobs(SPECS[:1], 4)):
            loop.add(i, job)
        loop.step()
        for i in range(5):
            loop.drop(i)
        assert not loop.busy and loop.step() == {}
        loop.add(9, job)
        while not (done := loop.step()):
            pass
        assert done[9] == alone(model, job)


@torch.inference_mode()
def test_what_is_seen_only_grows_and_ends_as_the_answer():
    model = FormulaModel()
    spec = DecodeSpec(16, 4, "entropy", 2.0, 0.5, early_stop=False)
    given = [Job(Request([i + 2, 5]), spec, watched=i != 1) for i in range(4)]
    with packer_of(model, 2, 25, Lane(False)) as packer:
        loop = Loop(model, packer, 16)
        for i, job in enumerate(given):
            loop.add(i, job)
        leads: dict[int, int] = {}
        told: dict[int, list] = {i: [] for i in range(4)}
        done: dict[int, Decoded] = {}
        while loop.busy:
            done |= loop.step()
            for i, seen in loop.seen(leads).items():
                assert seen.lead > leads.get(i, 0)
                assert model.mask_token_id not in seen.tokens[: seen.lead]
                leads[i] = seen.lead
                told[i].append(seen)
    assert not told[1], "nobody asked to see it"
    for i in (0, 2, 3):
        assert told[i]
        for seen in told[i]:
            assert done[i].tokens[: seen.lead] == seen.tokens[: seen.lead]
            assert seen.forwards == max(
                done[i].revealed_at[p] for p in range(16) if seen.tokens[p] != model.mask_token_id
            )


def test_ways_that_nobody_uses_are_forgotten(llada):
    specs = [DecodeSpec(4, 2, "entropy", 0.1 * i, 0.5) for i in range(1, 30)]
    with torch.inference_mode(), packer_of(llada, 2, 25, Lane(False)) as packer:
        loop = Loop(llada, packer, 16)
        for i, spec in enumerate(specs):
            loop.add(i, Job(Request([3, 4]), spec))
        while loop.busy:
            loop.step()
            assert len(loop._ways._ways) <= 2
