"""Prompt lengths: the quick bound decides as counting every token does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tad_core.checkpoint import load_tokenizer
from tad_core.config import parse_config
from tad_core.data import prompts
from tad_core.data.lengths import LengthCheck, all_cores, max_positions
from tad_core.data.problem import Problem
from tad_core.data.selection import OVER_LONG

WORDS = st.lists(st.sampled_from(["book", "12", "é", "\n\n", "x" * 40, " ", "≥", "So", "."]), max_size=60)


@pytest.fixture(params=["llada", "dream"])
def tree(
    request: pytest.FixtureRequest,
    tiny_tree: dict[str, Any],
    tiny_dream_checkpoint: Path,
) -> dict[str, Any]:
    if request.param == "dream":
        tiny_tree["model"]["path"] = str(tiny_dream_checkpoint)
    return tiny_tree


def longest(tokenizer: Any, problem: Problem, family: prompts.Family) -> int:
    """Tokens of the longest prompt, counted."""
    return max(
        len(prompts.student_prompt(tokenizer, problem)),
        len(prompts.teacher_prompt(tokenizer, problem, "privileged")),
        len(prompts.training_teacher_prompt(tokenizer, problem, family)),
    )


@given(
    rows=st.lists(st.tuples(WORDS, WORDS, st.booleans()), min_size=1, max_size=4), room=st.integers(20, 200)
)
@settings(max_examples=15, deadline=None)
def test_the_quick_check_is_exact(
    tiny_checkpoint: Path, tiny_dream_checkpoint: Path, rows: Any, room: int
) -> None:
    problems = [
        Problem(str(i), "s", "code" if code else "math", "q " + " ".join(q), "r " + "".join(r), "1", "t")
        for i, (q, r, code) in enumerate(rows)
    ]
    for path, family in ((tiny_checkpoint, "llada"), (tiny_dream_checkpoint, "dream")):
        check, tokenizer = check_of(path, room), load_tokenizer(path)
        over = [longest(tokenizer, p, family) > room for p in problems]  # type: ignore[arg-type]
        assert check(problems) == [OVER_LONG if o else "" for o in over]


_checks: dict[tuple[str, int], LengthCheck] = {}


def check_of(path: Path, room: int) -> LengthCheck:
    """A check with so much room; the tokenizer is loaded once."""
    config = parse_config(
        {
            "name": "t",
            "model": {"path": str(path)},
            "data": [{"name": "a", "source": "arithmetic", "count": 1}],
            "rollout": {"response_length": 16, "block_length": 8},
            "distill": {"states_per_trajectory": 4},
            "evaluate": {
                "tasks": [{"name": "a", "source": "arithmetic", "count": 1}],
                "thresholds": [0.5],
                "decode": {"block_length": 8},
            },
        }
    )
    check = _checks.setdefault((str(path), 0), LengthCheck(config))
    check.room = room
    return check


def test_room_is_what_the_response_leaves_or_less(tree: dict[str, Any]) -> None:
    config = parse_config(tree)
    assert max_positions(config.model) == 512
    assert LengthCheck(config).room == 512 - 16
    for most, room in ((100, 100), (1000, 496)):
        tree["rollout"]["max_prompt_tokens"] = most
        assert LengthCheck(parse_config(tree)).room == room


def test_short_texts_are_not_even_tokenised(tree: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    check = LengthCheck(parse_config(tree))
    counted: list[str] = []
    monkeypatch.setattr(check, "_lengths", lambda texts: counted.extend(texts) or [0] * len(texts))
    short = Problem("a", "s", "math", "How many?", "Six.", "6")
    long = Problem("b", "s", "math", "How many?", "book " * 400, "6")
    assert check([short]) == [""] and not counted
    check([short, long])
    assert len(counted) == 3


def test_a_template_that_repeats_its_content_is_no_reason_to_guess(tree: dict[str, Any]) -> None:
    check = LengthCheck(parse_config(tree))
    check([Problem("a", "s", "math", "q", "r", "1")])
    assert check._frame < 1000
    check._tokenizer.chat_template = "{{ messages[0]['content'] }}{{ messages[0]['content'] }}"
    assert check._measure_frame() == float("inf")


def test_two_runs_side_by_side_leave_the_threads_of_the_tokenizer_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    inside, first_is_out = threading.Event(), threading.Event()

    def second() -> None:
        with all_cores():
            inside.set()
            first_is_out.wait()

    thread = threading.Thread(target=second)
    with all_cores():
        thread.start()
        inside.wait(0.2)  # only where both may be in there
        assert os.environ["TOKENIZERS_PARALLELISM"] == "true"
    first_is_out.set()
    thread.join()
    assert os.environ["TOKENIZERS_PARALLELISM"] == "false"


def test_no_torch_is_needed(tree: dict[str, Any]) -> None:
    code = (
        "import json, sys\n"
        "from tad_core.config import parse_config\n"
        "from tad_core.data.lengths import LengthCheck\n"
        "from tad_core.data.sources import load_all\n"
        "config = parse_config(json.loads(sys.argv[1]))\n"
        "load_all(config.data, LengthCheck(config))\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(tree)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "longer than the specified maximum" not in done.stderr
