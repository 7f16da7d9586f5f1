"""What ``tad join`` does on the hosts of a training run that do not run the pipeline."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tad_core.errors import ConfigError, TADError
from tad_core.training.command import command_for
from tad_core.training.invitation import wait_for
from tad_core.training.launch import watch
from tad_core.training.spec import read_spec

#: which seat this host takes, where the scheduler gives numbers (0 is the host of the pipeline); default: any
RANK_VARIABLE = "TAD_NODE_RANK"


def join(folder: str | Path, number: int | None, say: Callable[[str], None], once: bool = False) -> None:
    """Take part in the training runs of a store, one after the other, until interrupted.

    Args:
        folder: root of the store, or the working folder of one run; for a store elsewhere the first host's
            ``TAD_CACHE``; shared with the first host.
        number: this host's place in every run, 1 or more; default: ``TAD_NODE_RANK``, else the first free one.
        say: told what happens, and every line of the processes here.
        once: return after one run.

    Raises:
        ConfigError: a file or a URL in place of the folder, or no run has such a place.
        TADError: with ``once``, what ended the run.
    """
    if "://" in str(folder):
        raise ConfigError(
            f"folder: {folder} is no folder; of a store elsewhere a training works in TAD_CACHE of the first host: put "
            "that on a file system that all hosts share at the same path, and give it here"
        )
    root = Path(folder)
    if root.exists() and not root.is_dir():
        raise ConfigError(
            f"folder: {folder} is not a folder; give the store of the run, on a file system all hosts share"
        )
    if number is None and (text := os.environ.get(RANK_VARIABLE)):
        if not text.isdigit():
            raise ConfigError(f"{RANK_VARIABLE}: {text!r} is not a number; use 1 or more")
        number = int(text)
    say(f"waiting for training runs in {root}" + ("" if root.exists() else ", which is not here yet"))
    while taken := wait_for(root, number):
        invitation, seat = taken
        say(f"host {seat.number} of {invitation.nodes} in {invitation.spec}, led by {seat.host}:{seat.port}")
        try:
            if not Path(invitation.folder).is_dir():
                raise ConfigError(
                    f"{invitation.folder}: the first host's working folder is not here; share it at the same path"
                )
            spec_file = Path(invitation.spec)
            log_file = spec_file.with_name(f"train.node{seat.number}.log")
            command = command_for(read_spec(spec_file), spec_file, seat)
            watch(command, log_file, None, say, folder=invitation.folder)
            say("done")
        except TADError as error:
            if once:
                raise
            say(f"{type(error).__name__}: {error}")
        if once:
            return
