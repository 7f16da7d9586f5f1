"""Several adapters in one pass: each ends as it does alone, whatever happens on the way."""

from __future__ import annotations

import os
import signal
import weakref

import pytest
import torch
from safetensors.torch import load_file

from tad_core.config import LoraConfig, ModelConfig
from tad_core.errors import ConfigError, TrainingError
from tad_core.models.loading import load_model
from tad_core.models.lora import add_lora, base_of, inside, weights_of
from tad_core.training import checkpoint as checkpoints
from tad_core.training import run as run_module
from tad_core.training.adapters import Switch, join_states, schedule_for, split_state
from tad_core.training.recorder import StopRequest, read_losses
from tad_core.training.run import passes, train
from tad_core.training.spec import AlsoTrained, parse_spec
from tad_core.training.trainer import DistillTrainer

NAMES = ("quality", "speed")


@pytest.fixture
def make(world, checkpoint, tmp_path):
    """Specs over the same data: one adapter alone, or both in one pass with outputs in ``root``."""

    def build(root, *names, **changes):
        windows, root = {"quality": 2, "speed": 5, "blocks": 2, "weight": 5}, tmp_path / root
        specs = [
            world.make_spec(
                root / name, checkpoint, window=windows[name], **{"save_steps": 3, **changes}
            ).model_copy(update={"name": name, "run_id": f"{name} of these data"})
            for name in names
        ]
        also = [AlsoTrained(name=s.name, window=s.window, run_id=s.mark, output=s.output) for s in specs[1:]]
        return specs[0].model_copy(update={"also": also})

    return build


def losses_of(folder):
    return [{k: v for k, v in row.items() if k != "wall_s"} for row in read_losses(folder / "losses.jsonl")]


def adapter_of(folder):
    return (folder / "adapter" / "adapter_model.safetensors").read_bytes()


def outputs(spec):
    return {run.name: run.output for run in spec.adapters}


@pytest.fixture
def alone(make):
    """Each trained for itself; dropout is on, so that other random numbers would show."""

    def build(**changes):
        found = {}
        for name in NAMES:
            spec = make("alone", name, **changes)
            assert train(spec, StopRequest())
            found |= outputs(spec)
        return found

    return build


def assert_equal(found, expected):
    for name, folder in expected.items():
        assert losses_of(found[name]) == losses_of(folder), name
        assert adapter_of(found[name]) == adapter_of(folder), name
    one, other = (losses_of(folder) for folder in found.values())
    assert one != other  # another window is another loss


@pytest.mark.thinned(2)
@pytest.mark.parametrize(
    "changes",
    [{}, {"near": "soft", "schedule": "cosine", "warmup_steps": 2}, {"gradient_checkpointing": True}],
)
def test_each_ends_as_it_does_alone(make, alone, changes, monkeypatch):
    expected = alone(**changes)
    spec = make("both", *NAMES, **changes)
    teachers = []
    original = run_module.DistillTrainer.teacher_rows

    def counted(self, *inputs):
        teachers.append(1)
        return original(self, *inputs)

    monkeypatch.setattr(run_module.DistillTrainer, "teacher_rows", counted)
    assert train(spec, StopRequest())
    assert_equal(outputs(spec), expected)
    assert len(teachers) == 8 * 2  # steps x micro-batches, not x adapters


def test_models_called_like_parts_of_the_network_end_as_others_do(make, alone):
    expected, spec = alone(max_steps=2), make("both", "blocks", "weight", max_steps=2)
    assert train(spec, StopRequest())
    found = dict(zip(NAMES, outputs(spec).values(), strict=True))
    assert_equal(found, expected)


def test_after_kill_9_both_end_as_the_undisturbed(world, make, alone):
    expected, spec = alone(), make("both", *NAMES)
    world.killed_at(spec, 5)
    assert train(spec, StopRequest())
    assert_equal(outputs(spec), expected)


@pytest.mark.parametrize(
    "step", [pytest.param(5, marks=pytest.mark.slow), 6]
)  # in between, where a checkpoint is due
def test_a_gradient_of_one_that_is_not_finite_reaches_no_checkpoint_of_either(make, alone, monkeypatch, step):
    expected, spec = alone(), make("both", *NAMES)
    original = DistillTrainer._backward

    def poisoned(self, adapter, loss):
        original(self, adapter, loss)
        if adapter.name == inside("speed") and self.state.global_step + 1 == step:
            adapter.weights[0].grad.view(-1)[0] = torch.nan

    with monkeypatch.context() as patch:
        patch.setattr(DistillTrainer, "_backward", poisoned)
        with pytest.raises(
            TrainingError, match=f"speed, step {step} failed: the norm of its gradient is nan"
        ) as caught:
            train(spec, StopRequest())
    assert str(caught.value).endswith("; without speed in evaluate.models the others go on alone")
    assert [checkpoints.newest_of_all([(run.output, run.mark)]) for run in spec.adapters] == [3, 3]
    with monkeypatch.context() as patch:
        patch.setattr(DistillTrainer, "_backward", poisoned)
        assert train(make("both", "quality"), StopRequest())  # the one that was not to blame
    assert train(spec, StopRequest())
    assert_equal(outputs(spec), expected)


def test_a_kill_between_the_checkpoints_of_two_costs_that_step_only(world, make, alone):
    expected, spec = alone(), make("both", *NAMES)

    def work():
        original = checkpoints.seal

        def deadly(folder, mark, layout):
            if checkpoints.step_of(folder) == 6 and mark.startswith("speed"):
                os.kill(os.getpid(), signal.SIGKILL)
            original(folder, mark, layout)

        checkpoints.seal = deadly
        train(spec, StopRequest())
        return 0

    assert world.wait(world.fork(work)) == -signal.SIGKILL
    newest = [checkpoints.newest_of_all([(run.output, run.mark)]) for run in spec.adapters]
    assert newest == [6, 3]
    assert passes(spec.adapters, 3) == [spec.adapters]
    assert train(spec, StopRequest())
    assert_equal(outputs(spec), expected)


@pytest.mark.slow
def test_what_was_begun_together_goes_on_alone_and_the_other_way_round(world, make, alone):
    expected = alone()
    both = make("both", *NAMES)
    world.killed_at(both, 5)
    for name in NAMES:
        assert train(make("both", name), StopRequest())
    assert_equal(outputs(both), expected)
    again = make("again", *NAMES)
    for name in NAMES:
        world.killed_at(make("again", name), 5)
    assert train(again, StopRequest())
    assert_equal(outputs(again), expected)


def test_a_finished_one_is_left_as_it_is(make, alone):
    expected = alone()
    assert train(make("both", "quality"), StopRequest())
    both = make("both", *NAMES)
    kept = (outputs(both)["quality"] / "summary.json").read_bytes()
    assert [[run.name for run in group] for group in passes(both.adapters, 3)] == [["speed"]]
    assert train(both, StopRequest())
    assert (outputs(both)["quality"] / "summary.json").read_bytes() == kept
    assert_equal(outputs(both), expected)


def test_one_that_has_come_further_is_not_set_back(world, make, alone):
    expected, both = alone(), make("both", *NAMES)
    world.killed_at(make("both", "quality"), 8)  # it stands at step 6, the other has not begun
    assert [[run.name for run in group] for group in passes(both.adapters, 3)] == [["quality"], ["speed"]]
    assert train(both, StopRequest())
    assert_equal(outputs(both), expected)


def test_progress_names_the_adapter_and_the_summary_the_company(make, capsys):
    spec = make("both", *NAMES, max_steps=2, log_steps=1)
    assert train(spec, StopRequest())
    lines = capsys.readouterr().out.splitlines()
    assert "quality and speed in one pass" in lines[0]
    assert [line.partition(" loss")[0] for line in lines[1:]] == [
        f"{name}: step {step}/2" for step in (0, 1, 2) for name in NAMES
    ]
    for folder in outputs(spec).values():
        assert '"in_one_pass": 2' in (folder / "summary.json").read_text()


def test_two_processes_give_the_steps_of_one(world, make, alone):
    changes = {"lora": LoraConfig(rank=4, alpha=4, dropout=0.0), "max_steps": 4, "micro_batch_size": 2}
    expected, spec = alone(**changes), make("both", *NAMES, **changes)
    world.two_ranks(spec)
    for name, folder in outputs(spec).items():
        for a, b in zip(losses_of(expected[name]), losses_of(folder), strict=True):
            assert a == pytest.approx(b, rel=1e-5)
        weights = load_file(folder / "adapter" / "adapter_model.safetensors")
        for path, weight in load_file(expected[name] / "adapter" / "adapter_model.safetensors").items():
            torch.testing.assert_close(weight, weights[path], rtol=1e-2, atol=2e-4)


@pytest.mark.slow
def test_after_kill_9_of_two_processes_both_end_as_the_undisturbed(world, make):
    """Dropout is drawn by step and process."""
    undisturbed, spec = (make(root, *NAMES, micro_batch_size=2) for root in ("undisturbed", "killed"))
    world.two_ranks(undisturbed)
    world.two_ranks(spec, lambda number: world.dies_at(5), status=-signal.SIGKILL)
    assert [checkpoints.newest_of_all([(run.output, run.mark)]) for run in spec.adapters] == [3, 3]
    world.two_ranks(spec)
    assert_equal(outputs(spec), outputs(undisturbed))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"also": None}, "also: speed has no window, which the tad objective needs"),
        (
            {"distill": {"deepspeed": "x.json", "launcher": "torchrun"}},
            "x.json clips .* by one norm.* set it to null",
        ),
        ({"name": "speed"}, "also: two adapters have the same name"),
        ({"output": None}, "also: two adapters have the same output"),
    ],
)
def test_what_does_not_go_together_is_refused(make, change, message):
    spec = make("both", *NAMES)
    tree = spec.model_dump(mode="json")
    if "distill" in change:
        change = {"distill": {**tree["distill"], **change["distill"]}, "problems": "p.jsonl"}
    if change.get("also", "") is None:
        change = {"also": [{**tree["also"][0], "window": None}]}
    if change.get("output", "") is None:
        change = {"output": spec.also[0].output}
    with pytest.raises(ConfigError, match=message):
        parse_spec({**tree, **change})


def test_company_is_no_part_of_what_an_adapter_is(world, checkpoint, tmp_path):
    spec = world.make_spec(tmp_path, checkpoint)
    other = AlsoTrained(name="speed", window=5, run_id="x", output=str(tmp_path / "other"))
    assert spec.model_copy(update={"also": [other], "name": "quality"}).mark == spec.mark


def test_adapters_begin_alike_and_only_the_chosen_one_is_seen(checkpoint):
    lora = LoraConfig(rank=4, alpha=4, dropout=0.0)
    model = add_lora(load_model(ModelConfig(path=str(checkpoint), device="cpu")), lora, 3, NAMES)
    single = add_lora(load_model(ModelConfig(path=str(checkpoint), device="cpu")), lora, 3)
    for name in NAMES:
        ours = weights_of(model, name)
        assert all(w.requires_grad and w.dtype == torch.float32 for w in ours)
        assert all(torch.equal(a, b) for a, b in zip(ours, weights_of(single, "default"), strict=True))
    with torch.no_grad():
        for weight in weights_of(model, "speed"):
            weight.add_(0.3)
    switch, ids_BL = Switch(model), torch.arange(8)[None]
    plain = base_of(single).hidden(ids_BL)  # a fresh adapter is the identity
    switch.to("quality")
    assert torch.equal(base_of(model).hidden(ids_BL), plain)
    switch.to("speed")
    changed = base_of(model).hidden(ids_BL)
    assert not torch.equal(changed, plain)
    with switch.off():
        assert torch.equal(base_of(model).hidden(ids_BL), plain)
    changed.sum().backward()
    assert all(w.grad is None for w in weights_of(model, "quality"))
    assert all(w.grad is not None for w in weights_of(model, "speed"))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_adapters_are_float32_whatever_the_base_is(checkpoint, dtype):
    base = load_model(ModelConfig(path=str(checkpoint), device="cpu", dtype=dtype))
    model = add_lora(base, LoraConfig(rank=4, alpha=4), 0, NAMES)
    assert {w.dtype for name in NAMES for w in weights_of(model, name)} == {torch.float32}
    kept = {w.dtype for path, w in model.named_parameters() if "lora_" not in path}
    assert kept == {getattr(torch, dtype)}


def test_an_optimizer_of_groups_is_the_optimizers_of_each():
    def trained(groups):
        torch.manual_seed(0)
        weights = [torch.nn.Parameter(torch.randn(3)) for _ in range(4)]
        optimizer = torch.optim.AdamW([{"params": [weights[i] for i in g]} for g in groups], lr=0.1)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (step + 1))
        for _ in range(3):
            for group in groups:
                for i in group:
                    weights[i].grad = weights[i].detach() * (i + 1)
            optimizer.step()
            schedule.step()
        return optimizer.state_dict(), schedule.state_dict(), weights

    state, schedule, weights = trained([[0, 1], [2, 3]])
    for part, group in zip(split_state(state), ([0, 1], [2, 3]), strict=True):
        alone, its_schedule, its_weights = trained([group])
        assert part["param_groups"] == alone["param_groups"]
        for n, entry in alone["state"].items():
            assert all(torch.equal(value, part["state"][n][name]) for name, value in entry.items())
        assert schedule_for(schedule, 1) == its_schedule
        assert all(torch.equal(weights[i], its_weights[i]) for i in group)
    joined = join_states(split_state(state))
    assert joined["param_groups"] == state["param_groups"] and joined["state"].keys() == state["state"].keys()
    # What the Trainer makes by itself has a second, empty group of weights without decay.
    first = split_state(state)[0]
    first["param_groups"].append({**first["param_groups"][0], "params": []})
    assert join_states([first, split_state(state)[1]])["param_groups"] == state["param_groups"]


def test_what_the_launcher_changes_for_the_machine_is_changed_for_all_adapters(world, checkpoint, tmp_path):
    """A pass of models with losses of their own, halved where memory ran out, and read by the next process."""
    spec = world.make_spec(tmp_path, checkpoint, micro_batch_size=2, global_batch_size=4)
    hard = AlsoTrained(
        name="hard", window=3, loss={"distant": "hard"}, run_id="h", output=str(tmp_path / "h")
    )
    both = spec.model_copy(update={"also": [hard], "name": "quality"})
    smaller = both.model_copy(update={"distill": spec.distill.model_copy(update={"micro_batch_size": 1})})
    first, second = parse_spec(smaller.model_dump(mode="json")).adapters
    assert (first.distill.micro_batch_size, second.distill.micro_batch_size) == (1, 1)
    assert (first.distill.distant, second.distill.distant) == ("soft", "hard")
    other = hard.model_copy(update={"loss": {"learning_rate": 1.0}})
    with pytest.raises(
        ConfigError,
        match="also: hard differs in more than distant, emphasis, follow, near, soften_near, t3d, temperature",
    ):
        parse_spec(both.model_copy(update={"also": [other]}).model_dump(mode="json"))


def test_a_pass_leaves_the_next_one_the_memory_of_its_model(make, monkeypatch):
    spec, loaded = make("apart", *NAMES, max_steps=2), []

    def load(*arguments):
        assert [model() for model in loaded] == [None] * len(loaded)
        model = load_model(*arguments)
        loaded.append(weakref.ref(model))
        return model

    monkeypatch.setattr(run_module, "load_model", load)
    monkeypatch.setattr(run_module, "passes", lambda runs, _: [[run] for run in runs])
    assert train(spec, StopRequest())
    assert len(loaded) == 2
