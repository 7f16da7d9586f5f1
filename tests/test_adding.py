"""Something of each kind that nobody has: added as the page says, in the files that it names and in no other, it works.

The project is copied, the files that docs/architecture.md lists for a kind are written or get their line, and a small
run goes from collection to the report with all of it in the copy.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import third

ROOT = Path(__file__).resolve().parents[1]

#: kind -> the files of its own, and of each other file what stands there and what it becomes
Added = dict[str, tuple[dict[str, str], dict[str, list[tuple[str, str]]]]]
SUMS = """task: tad_sums
dataset_path: nobody/sums
test_split: test
output_type: generate_until
doc_to_text: "{{q}}"
doc_to_target: "{{a}}"
num_fewshot: 0
generation_kwargs: {until: ["Question:"], do_sample: false}
filter_list:
  - {name: last, filter: [{function: regex, group_select: -1, regex_pattern: '([0-9]+)'}, {function: take_first}]}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
metadata: {version: 1.0}
"""
SUMS_CLASS = '''"""Sums."""

import re

from tad_core.evaluation.benchmarks.base import Benchmark


class Sums(Benchmark):
    """Judged by the number."""

    kind = "math"
    columns = {"q": str, "a": str}
    figure_names = ("exact_match,last",)

    def fields(self, row):
        """See ``Benchmark.fields``."""
        return {"question": row["q"], "reference": row["a"], "answer": row["a"], "meta": {"math_kind": "number"}}

    def figures(self, problems, texts, scorer):
        """See ``Benchmark.figures``."""
        last = [(re.findall("[0-9]+", text) or ["[invalid]"])[-1] for text in texts]
        return [{"exact_match,last": float(n == p.answer)} for n, p in zip(last, problems)]
'''
ADDED: Added = {
    "objective": (
        {
            "tad_core/objectives/made_up.py": (ROOT / "tests/tad_core/objectives/made_up.py").read_text(
                encoding="utf-8"
            ),
        },
        {
            "tad_core/config/objectives.py": [
                (
                    "OBJECTIVES: dict[str, ObjectiveKind] = {\n",
                    'OBJECTIVES: dict[str, ObjectiveKind] = {\n    "made-up": ObjectiveKind(\n'
                    '        "tad_core.objectives.made_up:MadeUp", "trajectories", False, "Odd", inputs=3\n    ),\n',
                )
            ]
        },
    ),
    "method of decoding": (
        {
            "tad_core/decoding/policies/leftmost.py":
            '"""The first masked tokens, however sure the model is."""\n\n'
            "from tad_core.decoding.policies.token_by_token import TokenByToken\n\n\n"
            'class Leftmost(TokenByToken):\n    """As many as the threshold says."""\n\n'
            '    knob = "threshold"\n\n'
            "    def choose(self, scores_BL, open_BL):\n"
            "        return open_BL & (open_BL.cumsum(1) <= max(1, int(self._spec.threshold)))\n\n"
            "    def __init__(self, spec, slots, device):\n"
            "        super().__init__(spec, slots, device)\n        self._spec = spec\n",
        },
        {
            "tad_core/decoding/policies/__init__.py": [
                (
                    "from tad_core.decoding.policies.low_confidence",
                    "from tad_core.decoding.policies.leftmost import Leftmost\n"
                    "from tad_core.decoding.policies.low_confidence",
                ),
                ('    "pipeline": Block', '    "leftmost": Leftmost,\n    "pipeline": Block'),
            ]
        },
    ),
    "source of data": (
        {
            "tad_core/data/sources/doubles.py":
            '"""Twice a number."""\n\nfrom tad_core.data.problem import Problem\n\n\n'
            "def load(source):\n"
            '    """Problems in order."""\n'
            "    for n in range(3, 3 + (source.count or 9)):\n"
            '        asked = f"Ann has {n} books. Ann buys {n} more. How many books does Ann have?"\n'
            '        told = f"{n} + {n} = {2 * n}. The answer is {2 * n}."\n'
            '        yield Problem(f"{source.name}/{n}", source.name, "math", asked, told, str(2 * n))\n',
        },
        {
            "tad_core/data/sources/__init__.py": [
                ("import arithmetic, gsm8k", "import arithmetic, doubles, gsm8k"),
                ('    "pyfunc": pyfunc.load,\n', '    "pyfunc": pyfunc.load,\n    "doubles": doubles.load,\n'),
            ]
        },
    ),
    "model family": (
        {"tad_core/families/third.py": third.OUTSIDE, "tad_core/models/third.py": third.INSIDE},
        {
            "tad_core/families/__init__.py": [
                ("import dream, llada\n", "import dream, llada, third\n"),
                ('    "Dream": dream', '    "third": third.FAMILY,\n    "Dream": dream'),
            ],
        },
    ),
    "benchmark": (
        {"tad_core/evaluation/benchmarks/sums.yaml": SUMS, "tad_core/evaluation/benchmarks/sums.py": SUMS_CLASS},
        {
            "tad_core/evaluation/benchmarks/__init__.py": [
                (
                    "from tad_core.evaluation.benchmarks.minerva_math import MinervaMath\n",
                    "from tad_core.evaluation.benchmarks.minerva_math import MinervaMath\n"
                    "from tad_core.evaluation.benchmarks.sums import Sums\n",
                ),
                ('        GSM8K("gsm8k"),\n', '        Sums("sums"),\n        GSM8K("gsm8k"),\n'),
            ]
        },
    ),
}  # fmt: skip


def listed() -> dict[str, tuple[set[str], set[str]]]:
    """What the page says: kind -> the files of its own, with NAME for its name, and the files with a line for it."""
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8").partition("## Adding things")[2]
    found = {}
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4 and "NAME" in cells[1]:
            found[re.sub(r"\[(.*?)\]\(.*?\)", r"\1", cells[0])] = (
                set(re.findall(r"`([^`]+)`", cells[1])),
                set(re.findall(r"`([^`]+)`", cells[2])),
            )
    return found


def test_what_is_added_is_what_the_page_lists() -> None:
    said = listed()
    assert set(ADDED) == set(said)
    for kind, (own, lines) in ADDED.items():
        patterns, others = said[kind]
        names = {Path(file).stem for file in own}
        assert {pattern.replace("NAME", name) for pattern in patterns for name in names} == own.keys(), kind
        assert lines.keys() == others, kind
    assert all((ROOT / file).is_file() for _, others in said.values() for file in others)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with one of each kind in it."""
    root = tmp_path_factory.mktemp("adding")
    shutil.copytree(ROOT / "tad_core", root / "tad_core", ignore=shutil.ignore_patterns("__pycache__"))
    for own, lines in ADDED.values():
        for file, text in own.items():
            assert not (root / file).exists()
            (root / file).write_text(text, encoding="utf-8")
        for file, changes in lines.items():
            source = (root / file).read_text(encoding="utf-8")
            for before, after in changes:
                assert source.count(before) == 1, (file, before)
                source = source.replace(before, after)
            (root / file).write_text(source, encoding="utf-8")
    third.checkpoint(ROOT / "assets" / "tiny-llada", root / "third")
    return root


SUMS_TASK = {"name": "sums", "source": "benchmark", "options": {"task": "sums", "path": "sums.jsonl"}}


def small(root: Path) -> dict[str, Any]:
    data = {"name": "twice", "source": "doubles"}
    return {
        "name": "adding", "store": str(root / "store"),
        "model": {"path": str(root / "third"), "device": "cpu", "threads": 1, "dtype": "float32"},
        "data": [{**data, "count": 4}],
        "rollout": {"response_length": 32, "block_length": 16, "workers": 1},
        "filter": {"workers": 1},
        "calibrate": {"states": 8},
        "distill": {"states_per_trajectory": 4, "max_steps": 1, "global_batch_size": 4, "teacher_prompt": "system",
                    "lora": {"rank": 2, "alpha": 2, "dropout": 0.0}},
        "models": {"odd": {"objective": "made-up"}},
        "evaluate": {"tasks": [{**data, "count": 2}, SUMS_TASK], "thresholds": [8], "operating_threshold": 8,
                     "workers": 1, "decode": {"method": "leftmost", "block_length": 16}, "bootstrap": 0},
    }  # fmt: skip


RUN = """
import json, sys
from tad_core.artifacts import Store
from tad_core.config import parse_config
from tad_core.stages.pipeline import run_pipeline
if __name__ == "__main__":
    config = parse_config(json.load(open("run.json")))
    outcome = run_pipeline(config, Store(config.store))
    print(json.dumps({
        "losses": outcome.distilled["odd"].local("losses.jsonl").read_text().splitlines()[0],
        "points": [outcome.evaluated[name].read_json("points.json") for name in ("base", "odd")],
        "kept": outcome.filtered.manifest.info["kept"],
        "report": outcome.report.local("report.md").read_text(),
    }))
"""


ASKED = """
import json, sys
from pathlib import Path
from tad_core.checkpoint import check_model, load_tokenizer
from tad_core.config import ModelConfig, parse_config
from tad_core.data import prompts
from tad_core.data.lengths import max_positions
from tad_core.data.responses import closed_response
from tad_core.errors import ModelError
from tad_core.models.gguf_export import arch_of
from tad_core.models.loading import build
from tad_core.shapes import shape_of
from tad_core.weights import check_packable

def refused(asked):
    try:
        asked()
    except ModelError as error:
        return str(error)

model = ModelConfig(path="third")
fields, words = check_model(model), load_tokenizer(model)
print(json.dumps({
    "parameters": [shape_of(model)[0].parameters, build(Path("third")).num_parameters()],
    "positions": max_positions(model),
    "end": words.convert_ids_to_tokens(closed_response(words, "5", 4)[1]),
    "system": prompts.with_system_reference("q", "r", "third"),
    "gguf": refused(lambda: arch_of(fields)),
    "packed": refused(lambda: check_packable({**fields, "inner": 100}, "nf4")),
    "fields": refused(lambda: check_model(ModelConfig(path="tied"))),
    "llada": refused(lambda: check_model(ModelConfig(path="mixed"))),
}))
"""


def asked(copy: Path, program: str) -> dict[str, Any]:
    """What a program of the copy prints in its last line."""
    done = subprocess.run(
        [sys.executable, program],
        cwd=copy, env={**os.environ, "PYTHONPATH": str(copy), "TAD_CACHE": str(copy / "cache")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_a_family_that_calls_everything_otherwise_is_known_everywhere(copy: Path) -> None:
    """Checks, plan, prompts and export go by what the family says of itself, not by names of LLaDA or Dream."""
    for name, changes in (("tied", {"tied": True}), ("mixed", {})):
        shutil.copytree(copy / "third", copy / name)
        config = json.loads((copy / name / "config.json").read_text())
        (copy / name / "config.json").write_text(json.dumps(config | changes))
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(ROOT / "assets" / "tiny-llada" / file, copy / "mixed" / file)
    (copy / "asked.py").write_text(ASKED)
    found = asked(copy, "asked.py")
    assert found["parameters"][0] == found["parameters"][1]
    assert found["positions"] == json.loads((copy / "third" / "config.json").read_text())["long"]
    assert found["end"] == "<|over|>"
    assert found["system"].endswith("Reference Answer: r<|over|>q")
    assert "no architecture for third" in found["gguf"]
    assert "body.floors.0.g has rows of 100 weights" in found["packed"]
    assert "tied True" in found["fields"] and "third implemented here has false" in found["fields"]
    assert "of type 'third'" in found["llada"] and "<|eot_id|>" in found["llada"]


@pytest.mark.slow
def test_a_run_goes_through_with_one_of_each(copy: Path) -> None:
    rows = [{"q": f"Ann has {n} books. Ann buys 3 more.", "a": str(n + 3)} for n in (5, 6)]
    (copy / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (copy / "run.json").write_text(json.dumps(small(copy)))
    (copy / "run.py").write_text(RUN)
    made = asked(copy, "run.py")
    assert {"last", "first", "told"} <= json.loads(made["losses"]).keys() and made["kept"] > 0
    for points in made["points"]:
        ways = [("token_by_token", 0.0), ("leftmost", 8.0)]
        for task in ("twice", "sums"):
            found = [p for p in points if p["task"] == task]
            assert [(p["method"], p["threshold"]) for p in found] == ways and found[1]["tpf"] > 2
    assert all(name in made["report"] for name in ("leftmost 8", "twice", "sums", "match,last"))
