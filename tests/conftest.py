"""Shared fixtures: a random small checkpoint with the real tokenizer, and a configuration that runs in seconds."""

from __future__ import annotations

import gc
import os
import random
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from functools import partialmethod
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("TAD_CACHE", str(Path(tempfile.gettempdir()) / f"tad-tests-{os.getuid()}"))

import pytest

# A shell that starts the tests in the background has SIGINT ignored, nohup SIGHUP, and every child would inherit that.
for _number, _handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _handler)

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaDA of a few thousand random weights with the shipped tokenizer's vocabulary."""
    import torch

    from tad_core.data.tokenizer import build_tokenizer
    from tad_core.models import LLaDAConfig, LLaDAModelLM

    tokenizer = build_tokenizer()
    torch.manual_seed(0)
    model = LLaDAModelLM(
        LLaDAConfig(
            d_model=32,
            n_heads=2,
            n_layers=2,
            mlp_hidden_size=48,
            vocab_size=len(tokenizer),
            max_sequence_length=512,
            rope_theta=10_000.0,
            mask_token_id=tokenizer.mask_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    # Larger than the initial 0.02: the logits then differ enough for greedy choices to mean something.
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(6)
    folder = tmp_path_factory.mktemp("tiny") / "llada"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


#: LLaDA's special tokens -> those of Dream in the same places
DREAM_TOKENS = {
    "<|mdm_mask|>": "<|mask|>",
    "<|startoftext|>": "<|beginoftext|>",
    "<|start_header_id|>": "<|im_start|>",
    "<|end_header_id|>": "<|object_ref_start|>",
    "<|eot_id|>": "<|im_end|>",
}
#: Qwen2.5's template without tools, with the system turn that Dream writes where none is given
DREAM_TEMPLATE = (
    "{% if messages[0]['role'] == 'system' %}"
    "{{ '<|im_start|>system\n' + messages[0]['content'] + '<|im_end|>\n' }}"
    "{% else %}{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}"
    "{% for message in messages %}{% if not (loop.first and message['role'] == 'system') %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@pytest.fixture(scope="session")
def tiny_dream_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Dream of a few thousand random weights; the shipped words with Dream's special tokens and chat template."""
    import torch
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    from tad_core.data.tokenizer import build_tokenizer
    from tad_core.models import DreamConfig, DreamModel

    text = build_tokenizer().backend_tokenizer.to_str()
    for llada, dream in DREAM_TOKENS.items():
        text = text.replace(llada, dream)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(text),
        bos_token="<|beginoftext|>",
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        mask_token="<|mask|>",
        unk_token="<|unknown|>",
        chat_template=DREAM_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=1024,
    )
    tokenizer.add_tokens(["You are a helpful assistant."])
    torch.manual_seed(0)
    model = DreamModel(
        DreamConfig(
            vocab_size=len(tokenizer) + 3,  # the real one has rows without a token, too
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=512,
            rope_theta=10_000.0,
            mask_token_id=tokenizer.mask_token_id,
            bos_token_id=tokenizer.eos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 2:
                parameter.mul_(6)
            elif name.endswith("bias"):
                parameter.normal_(std=0.1)
    folder = tmp_path_factory.mktemp("tiny") / "dream"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def tiny_tree(tiny_checkpoint: Path, tmp_path: Path) -> dict[str, Any]:
    """A whole configuration as a plain tree; tests change what they need and parse it."""
    return {
        "name": "tiny",
        "store": str(tmp_path / "store"),
        "model": {"path": str(tiny_checkpoint), "device": "cpu", "threads": 1},
        "data": [
            {"name": "sums", "source": "arithmetic", "count": 5, "options": {"min_steps": 1, "max_steps": 2}},
            {"name": "funcs", "source": "pyfunc", "count": 3, "options": {"min_steps": 1, "max_steps": 2}},
        ],
        "rollout": {"response_length": 16, "block_length": 8, "shard_size": 3, "batch_size": 4},
        "filter": {"workers": 1},
        "calibrate": {"states": 8, "quality_window": 4, "speed_window": 8},
        "distill": {
            "states_per_trajectory": 4,
            "max_steps": 2,
            "global_batch_size": 4,
            "micro_batch_size": 2,
            "learning_rate": 1.0e-3,
            "lora": {"rank": 2, "alpha": 2, "dropout": 0.0},
        },
        "evaluate": {
            "tasks": [{"name": "sums", "source": "arithmetic", "split": "heldout", "count": 3}],
            "thresholds": [0.5],
            "decode": {"block_length": 8},
            "bootstrap": 20,
        },
    }


@pytest.fixture
def tiny_config(tiny_tree: dict[str, Any]) -> Any:
    """The parsed ``tiny_tree``."""
    from tad_core.config import parse_config

    return parse_config(tiny_tree)


#: What a command takes over; SIGALRM is pytest-timeout's.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    """What a test finds does not depend on those before it: environment, folder, signals, generators, threads.

    One thread: tests share two cores, and more threads a test only make them slower.
    """
    environment, folder, path = dict(os.environ), Path.cwd(), [*sys.path]
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    random.seed(0)
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed(0)
    if (torch := sys.modules.get("torch")) is not None:
        torch.manual_seed(0)
        torch.set_num_threads(1)
    yield
    os.chdir(folder)
    sys.path[:] = path
    if dict(os.environ) != environment:
        os.environ.clear()
        os.environ.update(environment)
    for number, handler in handlers.items():
        if signal.getsignal(number) is not handler:
            signal.signal(number, handler)


@pytest.fixture(scope="session")
def warm_nursery() -> Iterator[Any]:
    """A process with everything imported that trainings and decoders need, which forks them in no time."""
    from tad_core.workers.nursery import Nursery
    from tad_core.workers.pool import MODULE
    from tad_core.workers.trainings import IMPORTS

    made = Nursery(MODULE, {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}, IMPORTS)
    yield made
    made.close()


@pytest.fixture(scope="module")
def forked_decoders(warm_nursery: Any) -> Iterator[None]:
    """Workers of a file's runs are forks of one process, as a study has them.

    For tests of what runs make: fresh interpreters would spend ten times as long importing as working. That those do
    the same is for the tests of the stages, of the pool and of the launcher.
    """
    from tad_core.workers.pool import Pool

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pool, "__init__", partialmethod(Pool.__init__, nursery=warm_nursery))
        yield


@pytest.fixture(scope="module")
def forked(forked_decoders: None, warm_nursery: Any) -> Iterator[None]:
    """Trainings as well."""
    from tad_core.stages import distill
    from tad_core.workers.trainings import TrainingForks

    launch, forks = distill.launch, TrainingForks(warm_nursery, {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distill, "launch", lambda spec, tell, start: launch(spec, tell, start or forks))
        yield


@pytest.fixture(scope="session")
def prefect_here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Prefect of the tests' own, in this process: database and records in temporary folders."""
    from prefect.settings import PREFECT_RESULTS_LOCAL_STORAGE_PATH, temporary_settings
    from prefect.testing import utilities

    from tests.records import with_records

    records = tmp_path_factory.mktemp("records")
    with pytest.MonkeyPatch.context() as patch:
        home = with_records(Path(utilities.mkdtemp()), "prefect-test.db")
        patch.setattr(utilities, "mkdtemp", lambda: str(home))
        with (
            utilities.prefect_test_harness(server_startup_timeout=180),
            temporary_settings({PREFECT_RESULTS_LOCAL_STORAGE_PATH: records}),
        ):
            yield


# --- services: started by tests/services/run.py -------------------------------------------------------


def service(variable: str) -> str:
    """What ``make test-services`` started; a test without it is skipped with the reason shown."""
    if variable not in os.environ:
        pytest.skip(f"{variable} is not set: run with `make test-services`")
    return os.environ[variable]


@pytest.fixture
def postgres_database() -> Iterator[str]:
    """A fresh database: a value for ``PREFECT_SERVER_DATABASE_CONNECTION_URL``."""
    import asyncio
    import uuid

    import asyncpg

    server, name = service("TAD_TEST_POSTGRES"), f"tad_{uuid.uuid4().hex[:12]}"

    async def tell(statement: str) -> None:
        connection = await asyncpg.connect(server.replace("+asyncpg", "") + "/postgres")
        await connection.execute(statement)
        await connection.close()

    asyncio.run(tell(f'CREATE DATABASE "{name}"'))
    yield f"{server}/{name}"
    asyncio.run(tell(f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture
def s3_bucket(monkeypatch: pytest.MonkeyPatch) -> str:
    """``s3://<a fresh bucket>``, with the environment by which this process and its children reach it."""
    import uuid

    import boto3

    endpoint, name = service("TAD_TEST_S3"), f"tad-{uuid.uuid4().hex[:12]}"
    for variable, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(variable, value)
    boto3.client("s3").create_bucket(Bucket=name)
    return f"s3://{name}"


# --- what was left out --------------------------------------------------------------------------------

#: How to run the tests that the default selection leaves out, by their marker.
_ELSEWHERE = {
    "slow": "make test-all",
    "services": "make test-services",
    "gpu": "pytest -m gpu, on a machine with a GPU",
}
_left_out: dict[str, set[str]] = {marker: set() for marker in _ELSEWHERE}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of few but long tests first: the last file is one process's alone. Most cases of a wide grid are slow."""
    top = Path(__file__).parent
    items.sort(key=lambda item: item.path.parent != top)
    cases: Counter[str] = Counter()
    for item in items:
        if (thinned := item.get_closest_marker("thinned")) is not None:
            test = item.nodeid.partition("[")[0]
            if cases[test] % thinned.args[0]:
                item.add_marker(pytest.mark.slow)
            cases[test] += 1


def pytest_collection_finish() -> None:
    """Imported modules are a million objects: the garbage collection after every training would look at each."""
    gc.collect()
    gc.freeze()


def pytest_deselected(items: list[pytest.Item]) -> None:
    for item in items:
        for marker in _left_out:
            if item.get_closest_marker(marker):
                _left_out[marker].add(item.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):  # under xdist only the workers collect
        session.config.workeroutput["left_out"] = {name: list(ids) for name, ids in _left_out.items()}


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    for marker, ids in getattr(node, "workeroutput", {}).get("left_out", {}).items():
        _left_out[marker].update(ids)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    parts = [f"{len(_left_out[m])} {m} ({how})" for m, how in _ELSEWHERE.items() if _left_out[m]]
    if parts:
        terminalreporter.write_line(f"left out: {', '.join(parts)}")
