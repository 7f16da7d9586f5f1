"""Pushing an export to the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi, constants

from tad_core.errors import ConfigError, ModelError
from tad_core.models.export import check_push, push


def test_pushing_is_private_unless_asked_and_says_how_to_go_on(tmp_path: Path, monkeypatch) -> None:
    calls: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(HfApi, "create_repo", lambda _, repo, **o: calls.append((repo, o)))
    monkeypatch.setattr(HfApi, "upload_folder", lambda _, **o: calls.append((o["repo_id"], o)))
    assert push(tmp_path, "me/model") == "https://huggingface.co/me/model"
    assert calls[0] == ("me/model", {"private": True, "exist_ok": True})
    assert calls[1][1]["folder_path"] == str(tmp_path)

    def refuse(*_: Any, **__: Any) -> None:
        raise ConnectionError("403")

    monkeypatch.setattr(HfApi, "upload_folder", refuse)
    with pytest.raises(
        ModelError, match=r"was not written \(403\); the folder .* is complete, `hf upload me/model"
    ):
        push(tmp_path, "me/model")


def test_a_push_that_cannot_work_is_refused_before_the_work(monkeypatch) -> None:
    with pytest.raises(ConfigError, match="is not the name of a repository"):
        check_push("model")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match="HF_HUB_OFFLINE is set"):
        check_push("me/model")

    def unknown(_: HfApi) -> None:
        raise OSError("no token")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(HfApi, "whoami", unknown)
    with pytest.raises(ConfigError, match=r"does not know you \(no token\); `hf auth login`"):
        check_push("me/model")
