"""An earlier state of an adapter beside the one in training: what it is, and that a resumed run has the same."""

from __future__ import annotations

import math

import pytest
import torch

from tad_core.config import LoraConfig
from tad_core.models.lora import base_of
from tad_core.training.adapters import Snapshot
from tad_core.training.packing import packing_of
from tad_core.training.recorder import StopRequest, read_losses
from tad_core.training.run import train
from tad_core.training.spec import AlsoTrained, parse_spec
from tad_core.training.trainer import DistillTrainer

WET = LoraConfig(rank=4, alpha=4, dropout=0.2)
DRY = LoraConfig(rank=4, alpha=4, dropout=0.0)


@pytest.fixture
def make(world, checkpoint, tmp_path):
    """A run of T3D, and those of other weights of its terms that are trained in the same pass."""

    def build(root, *alphas, **changes):
        folder = tmp_path / root
        settings = {"mask_block": 4, "save_steps": 3, "lora": WET, "max_steps": 9, **changes}
        specs = []
        for alpha in alphas:
            spec = world.make_spec(folder / str(alpha), checkpoint, **settings)
            tree = spec.model_dump(mode="json")
            tree["distill"] |= {"objective": "t3d", "t3d": {"alpha": alpha, "beta": 1.0, "snapshot_steps": 4}}
            own = {"window": None, "name": f"a{alpha}".replace(".", "-"), "run_id": f"alpha {alpha}"}
            specs.append(parse_spec({**tree, **own}))
        also = [
            AlsoTrained(
                name=spec.name,
                loss={"t3d": spec.distill.t3d.model_dump()},
                run_id=spec.mark,
                output=spec.output,
            )
            for spec in specs[1:]
        ]
        return specs[0].model_copy(update={"also": also})

    return build


def found_in(spec):
    """Losses and weights of every adapter of a run."""
    return [
        (
            [
                {k: v for k, v in row.items() if k != "wall_s"}
                for row in read_losses(run.output / "losses.jsonl")
            ],
            (run.output / "adapter" / "adapter_model.safetensors").read_bytes(),
        )
        for run in spec.adapters
    ]


def test_the_first_step_and_each_after_a_refresh_compare_the_student_with_itself(make):
    spec = make("run", 0.5, lora=DRY)
    assert train(spec, StopRequest())
    ((rows, _),) = found_in(spec)
    same = [math.isclose(row["real"], math.log(2), abs_tol=1e-6) for row in rows]
    assert same == [step % 4 == 0 for step in range(9)]
    for row in rows:
        assert row["real_count"] == row["fake_count"] == row["path_count"] == spec.distill.global_batch_size
        assert row["loss"] == pytest.approx(row["real"] + 0.5 * row["fake"] + 0.2 * row["path"], abs=1e-5)


@pytest.mark.slow
def test_after_kill_9_the_snapshot_is_the_undisturbed_ones(world, make):
    """Checkpoints of steps 3 and 6 lie between the refreshes before steps 0, 4 and 8."""
    undisturbed, spec = make("undisturbed", 0.5), make("killed", 0.5)
    assert train(undisturbed, StopRequest())
    for step in (4, 8):
        world.killed_at(spec, step)
    assert train(spec, StopRequest())
    assert found_in(spec) == found_in(undisturbed)


@pytest.mark.slow
def test_two_in_one_pass_have_their_own_and_end_as_alone(world, make):
    alone = [make("alone", alpha) for alpha in (0.5, 0.1)]
    assert all(train(spec, StopRequest()) for spec in alone)
    both = make("both", 0.5, 0.1)
    world.killed_at(both, 5)
    assert train(both, StopRequest())
    expected = [found for spec in alone for found in found_in(spec)]
    assert expected[0] != expected[1]
    assert found_in(both) == expected


@pytest.mark.slow
def test_two_processes_give_the_steps_of_one(world, make):
    changes = {"lora": DRY, "max_steps": 5, "micro_batch_size": 2}
    one, two = make("one", 0.5, **changes), make("two", 0.5, **changes)
    assert train(one, StopRequest())
    world.two_ranks(two)
    for a, b in zip(found_in(one)[0][0], found_in(two)[0][0], strict=True):
        assert a == pytest.approx(b, rel=1e-4)


def test_the_snapshot_is_what_the_weights_were_and_leaves_them_as_they_are():
    weights = [torch.nn.Parameter(torch.full((2,), float(i))) for i in range(2)]
    snapshot = Snapshot(weights, 3)
    seen = []
    for step in range(5):
        for _ in range(2):  # two micro-batches
            snapshot.refresh(step)
            with pytest.raises(ZeroDivisionError), snapshot.on():
                seen.append(weights[0][0].item())
                raise ZeroDivisionError
        with torch.no_grad():
            weights[0].add_(1)
    assert seen == [0.0] * 6 + [3.0] * 4
    assert weights[0].tolist() == [5.0, 5.0] and weights[1].tolist() == [1.0, 1.0]


def test_the_snapshot_drops_nothing_and_draws_nothing(make, monkeypatch):
    seen, spec = [], make("run", 0.5, max_steps=1)
    original = DistillTrainer._snapshot_rows

    def compared(self, adapter, batch):
        before = torch.get_rng_state()
        found_ND = original(self, adapter, batch)
        assert torch.equal(torch.get_rng_state(), before) and not found_ND.requires_grad
        laid_out = batch["student"]
        with torch.no_grad(), self._switch.off():  # a fresh adapter is the identity
            base_ND = base_of(self.model).packed(laid_out["ids_T"], packing_of(laid_out))
        torch.testing.assert_close(found_ND, base_ND)
        assert any(m.training for n, m in self.model.named_modules() if n.endswith("lora_dropout.default"))
        seen.append(1)
        return found_ND

    monkeypatch.setattr(DistillTrainer, "_snapshot_rows", compared)
    assert train(spec, StopRequest()) and seen
