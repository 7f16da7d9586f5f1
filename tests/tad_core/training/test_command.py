"""One launcher: which command a setting stands for, and what is refused before anything starts."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tad_core.config import DistillConfig
from tad_core.errors import ConfigError
from tad_core.training import command as module
from tad_core.training.command import Seat, check_settings, command_for, deepspeed_identity, guarded

ZERO2 = Path(__file__).resolve().parents[3] / "configs" / "deepspeed" / "zero2.json"


@pytest.fixture
def everything_is_installed(monkeypatch):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: object())


@pytest.fixture
def command(world, checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(module.shutil, "which", lambda name: None)

    def build(seat=None, **config):
        return command_for(world.make_spec(tmp_path, checkpoint, **config), Path("s.json"), seat)

    return build


def test_one_process(command):
    assert command() == [sys.executable, "-m", "tad_core.training", "s.json"]


def test_the_gpus_of_a_host(command):
    found = command(launcher="torchrun", processes=2)
    assert found[1:5] == ["-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    assert found[5:] == ["-m", "tad_core.training", "s.json"]


def test_several_hosts_under_torchrun(command):
    found = command(Seat("node0", 29500, 1), launcher="torchrun", processes=2, nodes=2, micro_batch_size=2)
    assert found[3:8] == [
        "--nproc-per-node=2", "--nnodes=2", "--node-rank=1", "--master-addr=node0", "--master-port=29500",
    ]  # fmt: skip
    assert found[8:] == ["-m", "tad_core.training", "s.json"]


def test_deepspeed_on_one_host_has_a_port_of_its_own(command, everything_is_installed):
    found, other = (command(launcher="deepspeed", processes=2) for _ in range(2))
    assert found[1:6] == ["-m", "deepspeed.launcher.runner", "--num_gpus", "2", "--master_port"]
    assert found[7:] == ["--module", "tad_core.training", "s.json"]
    assert found[6] != "29500" and other[6] != "29500"


def test_deepspeed_on_hosts_of_a_file(command, everything_is_installed, tmp_path):
    hosts = tmp_path / "hosts"
    hosts.write_text("node0 slots=2\nnode1 slots=2\n")
    found = command(
        Seat("node0", 29501, 0),
        launcher="deepspeed",
        processes=2,
        nodes=2,
        hostfile=str(hosts),
        micro_batch_size=2,
    )
    assert found[3:-3] == [
        "--num_gpus", "2", "--hostfile", str(hosts), "--num_nodes", "2", "--master_addr", "node0", "--master_port",
        "29501",
    ]  # fmt: skip


def test_it_dies_with_its_parent_where_the_system_can(monkeypatch):
    monkeypatch.setattr(module.shutil, "which", lambda name: "/usr/bin/setpriv")
    assert guarded(["a"]) == ["/usr/bin/setpriv", "--pdeathsig", "TERM", "a"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"processes": 2}, "distill.launcher: python starts one process and distill.processes x nodes is 2"),
        ({"nodes": 2}, "use torchrun or deepspeed"),
        ({"launcher": "torchrun", "deepspeed": "none.json"}, r"distill.deepspeed: none.json is not a file"),
        ({"deepspeed": str(ZERO2)}, "needs distill.launcher torchrun or deepspeed"),
        ({"launcher": "torchrun", "hostfile": "h"}, "distill.hostfile: h is for the deepspeed launcher"),
        ({"launcher": "deepspeed", "hostfile": "none"}, "distill.hostfile: none is not a file"),
        ({"launcher": "deepspeed", "nodes": 2}, r"distill.hostfile: missing.*tad join"),
    ],
)
def test_settings_that_do_not_fit(everything_is_installed, config, message):
    with pytest.raises(ConfigError, match=message):
        check_settings(DistillConfig(**config))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"launcher": "deepspeed"},
            r"deepspeed is not installed; .*pip install -c constraints.txt -e .*\[gpu\]",
        ),
        ({"launcher": "torchrun", "deepspeed": str(ZERO2)}, "asks for DeepSpeed, which is not installed"),
        ({"report_to": ["wandb"]}, "distill.report_to: wandb is not installed; pip install wandb"),
        ({"report_to": ["tensorboard"]}, "distill.report_to: tensorboard is not installed"),
    ],
)
def test_what_is_not_installed_is_named(monkeypatch, config, message):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=message):
        check_settings(DistillConfig(**config))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"zero_optimization": {"stage": 3}}, "stage 3 splits the weights"),
        ({"zero_optimization": {"stage": 0}}, "stage 0 shares nothing out.*set distill.deepspeed to null"),
        ({"zero_optimization": {}}, "stage 0 shares nothing out"),
        ({"bf16": {"enabled": False}}, 'bf16.enabled false is not what distill.bf16 true says; write "auto"'),
        ({"fp16": {"enabled": True}}, 'fp16.enabled true is not what distill.bf16 true says; write "auto"'),
        ({"bf16": True}, "is no DeepSpeed configuration"),
        ({"optimizer": {"type": "Adam"}}, "optimizer is set by the fields of distill"),
        ({"train_micro_batch_size_per_gpu": 4}, 'train_micro_batch_size_per_gpu is set .*; write "auto"'),
        ({"zero_optimization": 2}, "is no DeepSpeed configuration"),
    ],
)
def test_a_deepspeed_file_that_does_not_fit(everything_is_installed, tmp_path, change, message):
    path = tmp_path / "zero.json"
    path.write_text(json.dumps({**json.loads(ZERO2.read_text()), **change}))
    with pytest.raises(ConfigError, match=message):
        check_settings(DistillConfig(launcher="torchrun", deepspeed=str(path)))


def test_the_shipped_deepspeed_file_fits(everything_is_installed):
    check_settings(DistillConfig(launcher="torchrun", deepspeed=str(ZERO2), processes=8))


BOTH_BF16 = {"accumulated": "bfloat16", "communicated": "bfloat16"}


@pytest.mark.parametrize(
    ("tree", "identity"),
    [
        ({}, {}),
        ({"zero_optimization": {"stage": 2, "reduce_bucket_size": 5}, "steps_per_print": 1}, {}),
        ({"gradient_clipping": "auto", "wall_clock_breakdown": True, "tensorboard": {"enabled": True}}, {}),
        ({"bf16": {"enabled": True}}, {"adapter_dtype": "bfloat16", "gradient_dtypes": BOTH_BF16}),
        # Gradients of bfloat16 weights are added up in bfloat16 unless the file says otherwise.
        (
            {"bf16": {"enabled": "auto"}, "data_types": {"grad_accum_dtype": "fp32"}},
            {"adapter_dtype": "bfloat16", "gradient_dtypes": {"communicated": "bfloat16"}},
        ),
        ({"communication_data_type": "fp16"}, {"gradient_dtypes": {"communicated": "float16"}}),
        (
            {
                "fp16": {"enabled": True, "loss_scale": 0},
                "communication_data_type": "fp32",
                "data_types": {"grad_accum_dtype": "float32"},
            },
            {"adapter_dtype": "float16", "deepspeed": {"precision": {"loss_scale": 0}}},
        ),
        ({"prescale_gradients": True}, {"deepspeed": {"prescale_gradients": True}}),
        ({"bfloat16": {"enabled": True}}, {"deepspeed": {"bfloat16": {"enabled": True}}}),
        (
            {"zero_optimization": {"stage": 2, "zero_quantized_gradients": True}},
            {"deepspeed": {"zero_quantized_gradients": True}},
        ),
        ([], {}),
    ],
)
def test_what_of_a_deepspeed_file_is_an_adapters_identity(tmp_path, tree, identity):
    path = tmp_path / "zero.json"
    path.write_text(json.dumps(tree))
    assert deepspeed_identity(DistillConfig(deepspeed=str(path))) == identity


def test_the_shipped_deepspeed_file_holds_the_adapters_in_bfloat16_and_adds_up_in_float32():
    assert deepspeed_identity(DistillConfig(deepspeed=str(ZERO2))) == {"adapter_dtype": "bfloat16"}
    assert deepspeed_identity(DistillConfig(deepspeed=str(ZERO2), bf16=False)) == {}
    assert deepspeed_identity(DistillConfig(deepspeed="no/such.json")) == deepspeed_identity(DistillConfig())
