"""Where the files of a checkpoint lie: in the folder that is named, or in the local snapshot of a hub id."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path

from tad_core.config import ModelConfig
from tad_core.errors import ModelError, NotFetchedError
from tad_core.hub_client import HUB, ask_once, failures
from tad_core.weights import missing_files

#: What is fetched of a hub repository: weights, settings, tokenizer, card. Never code: ours loads the weights.
HUB_FILES = ("*.safetensors", "*.json", "*.jinja", "merges.txt", "decoder.yaml", "README.md", "LICENSE*")
#: The patterns go over slashes: second copies of the weights, or checkpoints, in folders below would be fetched too.
_BELOW = "*/*"
#: name/model, as the hub has them
HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")
_MAY_FETCH: ContextVar[bool] = ContextVar("_MAY_FETCH", default=True)
_COMMIT = re.compile(r"^[0-9a-f]{40}$")


def local_folder(model: ModelConfig | str | Path) -> Path:
    """The folder with the checkpoint's files: the one that is named, or the snapshot of a hub id.

    A hub id needs ``revision``, the full commit hash: every process of a run, today or next year, then sees the
    same files. The local cache is asked first, so that a complete one needs no network; no code is fetched.

    Raises:
        ModelError: no such folder; a hub id that is not pinned, not in the cache and not to be had.
    """
    if not isinstance(model, ModelConfig):
        model = ModelConfig(path=str(model))
    folder = Path(model.path).expanduser()
    if folder.is_dir():
        return folder
    near = _nearest(folder)
    if not HUB_ID.match(model.path) or (model.revision is None and near is not None):
        hint = (
            f"did you mean {near}?"
            if near
            else "give the folder of a checkpoint, or a hub id and its revision"
        )
        raise ModelError(f"model.path: {model.path} is not a folder; {hint}")
    if model.revision is None or not _COMMIT.match(model.revision):
        found = "missing" if model.revision is None else f"{model.revision!r} is not a commit hash"
        raise ModelError(
            f"model.revision: {found}; {model.path} is not a folder here ({Path.cwd()}), and a hub id is pinned by its "
            "commit hash (40 hex digits, from the page's history or `git ls-remote "
            f"https://huggingface.co/{model.path} HEAD`)"
        )
    return _snapshot(model.path, model.revision)


def _nearest(wanted: Path) -> Path | None:
    """The checkpoint whose path is the nearest to one that is mistyped; None where nothing is like it.

    Looked for where the path goes wrong: a part of it that is like its own in the folder before, and so on.
    """
    found = Path(wanted.anchor)
    for part in wanted.parts[1:] if wanted.anchor else wanted.parts:
        if (found / part).is_dir():
            found /= part
            continue
        try:
            names = [entry.name for entry in found.iterdir() if entry.is_dir()]
        except OSError:
            return None
        near = difflib.get_close_matches(part, names, n=1, cutoff=0.7)
        if not near:
            return None
        found /= near[0]
    return found if (found / "config.json").is_file() else None


@contextmanager
def without_fetching() -> Iterator[None]:
    """Inside, a hub id that is not in the cache is an error rather than gigabytes: for what only looks."""
    token = _MAY_FETCH.set(False)
    try:
        yield
    finally:
        _MAY_FETCH.reset(token)


@lru_cache(maxsize=16)
def _snapshot(hub_id: str, revision: str) -> Path:
    from huggingface_hub import constants, snapshot_download

    ask_once()

    def fetch(local_files_only: bool) -> Path:
        return Path(
            snapshot_download(
                hub_id,
                revision=revision,
                allow_patterns=list(HUB_FILES),
                ignore_patterns=[_BELOW],
                local_files_only=local_files_only,
            )
        )

    try:
        found = fetch(local_files_only=True)
        if not absent_files(found):
            return found
    except OSError:  # not in the cache, or not all of it
        pass
    if not _MAY_FETCH.get():
        raise NotFetchedError(
            f"model.path: {hub_id} at {revision} is not in the local cache yet; the run fetches it, or "
            f"`hf download {hub_id} --revision {revision}` does now"
        )
    remedy = f"`hf download {hub_id} --revision {revision}` on a machine with network fills the cache"
    if constants.is_offline_mode():
        raise ModelError(
            f"model.path: {hub_id} at {revision} is not in the local cache, and HF_HUB_OFFLINE is set; {remedy}"
        )
    try:
        found = fetch(local_files_only=False)
    except failures() as error:
        first = HUB.refused or (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"model.path: {hub_id} at {revision} is neither a folder here nor in the local cache, and the hub does "
            f"not give it ({first}); check id, revision and access, or: {remedy}"
        ) from None
    return found


def absent_files(folder: Path) -> list[str]:
    """Names of files that a complete checkpoint has and this folder does not."""
    absent = [name for name in ("config.json",) if not (folder / name).is_file()]
    return absent + missing_files(folder)
