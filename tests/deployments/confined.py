"""Run a command under a seccomp profile in Docker's format, as an engine would: ``confined.py PROFILE COMMAND…``."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pyseccomp


def main(file: str, command: list[str]) -> None:
    """Load the profile for good, then become the command."""
    profile: dict[str, Any] = json.loads(Path(file).read_text())
    filter_ = pyseccomp.SyscallFilter(pyseccomp.ERRNO(profile["defaultErrnoRet"]))
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    for rule in profile["syscalls"]:
        assert rule["action"] == "SCMP_ACT_ALLOW"
        arguments = [_argument(a) for a in rule.get("args", [])]
        for name in rule["names"]:
            try:
                number = pyseccomp.resolve_syscall(pyseccomp.system_arch(), name)
            except (ValueError, RuntimeError, OSError):
                continue  # newer than this libseccomp: engines leave it out as well
            if number >= 0:  # negative: of another architecture
                filter_.add_rule(pyseccomp.ALLOW, number, *arguments)
    filter_.load()
    os.execvp(command[0], command)


def _argument(spec: dict[str, Any]) -> Any:
    assert spec["op"] == "SCMP_CMP_EQ"
    return pyseccomp.Arg(spec["index"], pyseccomp.EQ, spec["value"])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
