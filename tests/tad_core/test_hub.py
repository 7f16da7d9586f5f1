"""Where a checkpoint's files are: a folder, or a pinned snapshot in the hub's cache; nothing is downloaded here."""

from __future__ import annotations

import shutil
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants

from tad_core import hub
from tad_core.checkpoint import check_model, model_fingerprint
from tad_core.config import ModelConfig
from tad_core.errors import ModelError
from tad_core.hub import local_folder, without_fetching

COMMIT = "08b83a6feb34df1a6011b80c3c00c7563e963b07"
HUB_ID = "someone/some-model"


@pytest.fixture
def cached(tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small checkpoint as a snapshot in an otherwise empty hub cache, offline."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub._snapshot.cache_clear()
    snapshot = tmp_path / "models--someone--some-model" / "snapshots" / COMMIT
    shutil.copytree(tiny_checkpoint, snapshot)
    return snapshot


def test_a_folder_is_itself(tiny_checkpoint: Path) -> None:
    assert local_folder(ModelConfig(path=str(tiny_checkpoint))) == tiny_checkpoint
    assert local_folder(tiny_checkpoint) == tiny_checkpoint
    # a pinned config may be pointed at a local copy without unpinning it
    assert local_folder(ModelConfig(path=str(tiny_checkpoint), revision=COMMIT)) == tiny_checkpoint


def test_a_pinned_hub_id_is_its_snapshot_without_network(cached: Path, tiny_checkpoint: Path) -> None:
    model = ModelConfig(path=HUB_ID, revision=COMMIT)
    assert local_folder(model) == cached
    assert check_model(model)["model_type"] == "llada"
    assert model_fingerprint(model) == model_fingerprint(tiny_checkpoint)


@pytest.mark.parametrize(
    ("revision", "message"),
    [(None, "missing; someone/some-model is not a folder here"), ("main", "'main' is not a commit hash"),
     (COMMIT[:12], "is not a commit hash")],
)  # fmt: skip
def test_a_hub_id_is_pinned_by_a_commit(revision: str | None, message: str) -> None:
    with pytest.raises(ModelError, match=rf"^model\.revision: .*{message}.*git ls-remote"):
        local_folder(ModelConfig(path=HUB_ID, revision=revision))


def test_a_relative_folder_says_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=rf"assets/tiny is not a folder here \({tmp_path}\)"):
        local_folder(ModelConfig(path="assets/tiny"))


def test_what_is_neither_folder_nor_id() -> None:
    for path in ("/no/such/folder", "./runs/model", "tiny-llada", "a/b/c"):
        with pytest.raises(ModelError, match="is not a folder; give the folder of a checkpoint, or a hub id"):
            local_folder(ModelConfig(path=path, revision=COMMIT))


def test_offline_and_not_in_the_cache(cached: Path) -> None:
    with pytest.raises(ModelError, match=r"not in the local cache, and HF_HUB_OFFLINE is set; `hf download"):
        local_folder(ModelConfig(path=HUB_ID, revision="f" * 40))


def test_an_incomplete_snapshot_is_not_taken_offline(cached: Path) -> None:
    (cached / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="not in the local cache"):
        local_folder(ModelConfig(path=HUB_ID, revision=COMMIT))


def test_what_only_looks_fetches_nothing(cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def note(hub_id: str, *, local_files_only: bool, **_: object) -> str:
        asked.append(local_files_only)
        raise FileNotFoundError(hub_id)

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", note)
    model = ModelConfig(path=HUB_ID, revision=COMMIT)
    with (
        without_fetching(),
        pytest.raises(ModelError, match="is not in the local cache yet; the run fetches it"),
    ):
        local_folder(model)
    assert asked == [True]
    with pytest.raises(ModelError, match="the hub does not give it"):
        local_folder(model)
    assert asked == [True, True, False]


def test_a_hub_that_refuses_is_one_error(cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []

    def refuse(hub_id: str, **options: object) -> str:
        asked.append(options)
        raise ConnectionError("no route\nlong tail")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(
        ModelError, match=r"the hub does not give it \(no route\); check id, revision"
    ) as error:
        local_folder(ModelConfig(path=HUB_ID, revision=COMMIT))
    assert "long tail" not in str(error.value)
    assert [o["local_files_only"] for o in asked] == [True, False]
    assert all(o["revision"] == COMMIT for o in asked)
    there = [
        "config.json",
        "model-1.safetensors",
        "modeling.py",
        "original/model.safetensors",
        "step-9/trainer.json",
    ]
    patterns = {name: asked[1][name] for name in ("allow_patterns", "ignore_patterns")}
    fetched = huggingface_hub.utils.filter_repo_objects(there, **patterns)
    assert list(fetched) == there[:2], "no code, and nothing of folders below"


@pytest.mark.parametrize(
    ("path", "near"),
    [
        ("assets/tiny-lada", "assets/tiny-llada"),
        ("aset/tiny-llada", "assets/tiny-llada"),
        ("asset/tinyllada", "assets/tiny-llada"),
    ],
)
def test_a_mistyped_folder_offers_the_nearest_and_does_not_speak_of_revisions(path: str, near: str) -> None:
    with pytest.raises(ModelError) as error:
        local_folder(ModelConfig(path=path))
    assert str(error.value) == f"model.path: {path} is not a folder; did you mean {near}?"


def test_a_hub_id_is_taken_for_one_where_no_folder_is_like_it() -> None:
    with pytest.raises(ModelError, match=r"model\.revision: missing"):
        local_folder(ModelConfig(path="GSAI-ML/LLaDA-8B-Instruct"))
    with pytest.raises(ModelError, match="give the folder of a checkpoint"):
        local_folder(ModelConfig(path="/nowhere/at/all"))
