"""Training on a base in 4 bits or 8-bit floats: the same ways as on any, another adapter, what neither goes with."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from tad_core.config import DistillConfig, LoraConfig
from tad_core.errors import ConfigError, ModelError
from tad_core.models import float8
from tad_core.training import command
from tad_core.training import run as run_module
from tad_core.training.command import check_settings
from tad_core.training.recorder import StopRequest, read_losses
from tad_core.training.run import train
from tad_core.training.spec import AlsoTrained

DRY = LoraConfig(rank=4, alpha=4, dropout=0.0)
FIGURES = ("loss", "near", "distant", "grad_norm")
#: By how much another order of sums may show: one that is off in its last bit may be rounded to another of the few
#: 8-bit floats there are.
APART = {"nf4": 1e-4, "fp8": 2e-3}


@pytest.fixture(params=["nf4", "fp8"])
def kind(request):
    if request.param == "nf4":
        pytest.importorskip("bitsandbytes")
    return request.param


@pytest.fixture
def run(world, tmp_path, kind):
    checkpoint = world.make_checkpoint(tmp_path / "base", width=64)

    def build(name, stop_at=None, also=False, **changes):
        settings = {"quantize": kind, "lora": DRY, "max_steps": 4, "save_steps": 2, **changes}
        spec = world.make_spec(tmp_path / name, checkpoint, **settings)
        if also:
            other = AlsoTrained(name="speed", window=5, run_id="s", output=str(tmp_path / name / "speed"))
            spec = spec.model_copy(update={"also": [other], "name": "quality"})
        assert train(spec, StopRequest())
        rows = read_losses(tmp_path / name / "out" / "losses.jsonl")
        return [[row[figure] for figure in FIGURES] for row in rows]

    return build


def test_it_trains_and_is_another_adapter(run):
    packed = run("packed")
    whole = run("whole", quantize="none")
    assert packed == run("again")
    assert packed[0] != pytest.approx(whole[0], rel=1e-4)
    assert packed[0][0] == pytest.approx(whole[0][0], rel=0.2)


@pytest.mark.parametrize(
    "changes",
    [{"micro_batch_size": 1}, {"gradient_checkpointing": True}, {"also": True}],
    ids=["one by one", "checkpointed", "two adapters"],
)
def test_how_a_step_is_computed_changes_nothing(run, kind, changes):
    for found, expected in zip(run("other", **changes), run("packed"), strict=True):
        assert found == pytest.approx(expected, rel=APART[kind])


def test_two_processes_give_the_steps_of_one(run, world, tmp_path, kind):
    expected = run("one")
    settings = {"quantize": kind, "lora": DRY, "max_steps": 4, "save_steps": 2, "micro_batch_size": 2}
    world.two_ranks(world.make_spec(tmp_path / "two", tmp_path / "base", **settings))
    rows = read_losses(tmp_path / "two" / "out" / "losses.jsonl")
    for row, figures in zip(rows, expected, strict=True):
        assert [row[figure] for figure in FIGURES] == pytest.approx(figures, rel=APART[kind])


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_compiled_it_is_the_same(run, kind):
    first, *rest = zip(run("compiled", compile="on"), run("packed"), strict=True)
    assert first[0] == pytest.approx(first[1], rel=APART[kind])
    # There gradients of maps of one input have one scale together in 8 bits, and a learning rate of 0.01 shows it.
    for found, expected in rest:
        assert found == pytest.approx(expected, rel=0.1 if kind == "fp8" else APART[kind])


def test_a_gpu_that_has_no_8_bit_floats_is_told_before_the_weights_are_read(world, tmp_path, monkeypatch):
    """As on a host that joined, whose own GPU nobody has asked."""
    spec = world.make_spec(tmp_path, world.make_checkpoint(tmp_path / "base", width=64), quantize="fp8")

    def refuse(device):
        raise ModelError(f"{device} has none")

    monkeypatch.setattr(float8, "check_gpu", refuse)
    monkeypatch.setattr(run_module, "load_model", lambda *_: pytest.fail("read"))
    with pytest.raises(ModelError, match="cpu has none"):
        train(spec, StopRequest())


@pytest.mark.parametrize("named", ["nf4", "fp8"])
def test_it_is_told_by_the_identity_alone_where_it_is_on(named):
    assert "quantize" not in DistillConfig().identity()
    assert DistillConfig(quantize=named).identity()["quantize"] == named


@pytest.mark.parametrize("named", ["nf4", "fp8"])
def test_with_deepspeed_it_is_refused(named):
    with pytest.raises(
        ValidationError, match=rf"quantize: {named} does not go with deepspeed z.json.*deepspeed to null"
    ):
        DistillConfig(quantize=named, deepspeed="z.json", launcher="torchrun")


def test_without_the_library_a_run_does_not_start(monkeypatch):
    monkeypatch.setattr(command, "_installed", lambda name: name != "bitsandbytes")
    check_settings(DistillConfig())
    check_settings(DistillConfig(quantize="fp8"))
    with pytest.raises(ConfigError, match=r"distill.quantize: nf4 needs bitsandbytes.*\[quantize\]"):
        check_settings(DistillConfig(quantize="nf4"))
