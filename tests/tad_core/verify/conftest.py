"""What the verifier's tests share: the public data, and the tiers this machine can give."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tad_core.verify import detect_tier

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"


def read_data(name: str) -> list[dict[str, Any]]:
    """The rows of a public data file; skips the test where it is not there."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"the public data file {name} is not beside the project")
    opener = gzip.open if name.endswith(".gz") else open
    with opener(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def require(tier: int) -> str:
    """The configuration's name of a tier; skips the test where this machine cannot give it."""
    choice = f"tier{tier}"
    report = detect_tier(choice)  # type: ignore[arg-type]
    if report.tier != tier:
        pytest.skip(f"this machine gives no tier {tier}: {'; '.join(report.problems)}. {report.remedy}")
    return choice
