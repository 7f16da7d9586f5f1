"""From an entry of the configuration to problems: what is taken, and every way it can be wrong."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tad_core.config import SourceConfig
from tad_core.errors import ConfigError, DataError
from tad_core.evaluation.benchmarks.load import load_benchmark
from tad_core.evaluation.benchmarks.minerva_math import SUBSETS
from tests.tad_core.evaluation.benchmarks.conftest import (
    GSM8K,
    HUMANEVAL,
    MATH,
    MBPP,
    benchmark_source,
    load,
    write_rows,
)


def test_what_a_problem_is(small_problems):
    problem = small_problems["gsm8k"][1]
    assert (problem.id, problem.source, problem.kind, problem.answer) == ("gsm8k/2", "gsm8k", "math", "1,000")
    assert problem.reference == GSM8K[1]["answer"]
    assert [p.meta["subset"] for p in small_problems["minerva_math"]] == [
        "prealgebra",
        "algebra",
        "algebra",
        "counting_and_probability",
    ]
    assert [p.answer for p in small_problems["minerva_math"]] == ["2", r"\frac{1}{2}", r"(3,\infty)", "6"]
    assert small_problems["humaneval"][0].id == "humaneval/HumanEval/900"
    circle = small_problems["mbpp"][1]
    assert circle.tests == "import math\n" + "\n".join(MBPP[1]["test_list"]) + "\n"
    assert json.loads(json.dumps(circle.as_dict())) == circle.as_dict()


@pytest.mark.parametrize("form", [".jsonl", ".jsonl.gz", ".json", ".parquet"])
def test_every_kind_of_file_gives_the_same_problems(form, tmp_path):
    path = tmp_path / f"mbpp{form}"
    rows = MBPP[:2]
    if form == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif form == ".json":
        path.write_text(json.dumps(rows))
    else:
        text = "".join(json.dumps(row) + "\n" for row in rows).encode()
        path.write_bytes(gzip.compress(text) if form.endswith("gz") else text)
    expected = load("mbpp", write_rows(tmp_path / "plain.jsonl", rows))
    assert load("mbpp", path) == expected


def test_the_test_split_of_mbpp(small_files):
    assert [p.id for p in load("mbpp", small_files["mbpp"])] == ["mbpp/11", "mbpp/12"]
    every = load("mbpp", small_files["mbpp"], options={"rows": "all"})
    assert [p.id for p in every] == ["mbpp/11", "mbpp/12", "mbpp/600"]


def test_other_releases_name_their_columns_otherwise(tmp_path):
    row = {k: v for k, v in MBPP[1].items() if k not in ("text", "test_setup_code")}
    sanitized = row | {"prompt": MBPP[1]["text"], "test_imports": ["import math"], "source_file": "x"}
    (problem,) = load("mbpp", write_rows(tmp_path / "sanitized.jsonl", [sanitized]))
    (same,) = load("mbpp", write_rows(tmp_path / "full.jsonl", [MBPP[1]]))
    assert problem == same
    math500 = {k: v for k, v in MATH[0].items() if k != "type"} | {"subject": "Prealgebra", "unique_id": "x"}
    (problem,) = load("minerva_math", write_rows(tmp_path / "math500.jsonl", [math500]))
    assert problem.meta["subset"] == "prealgebra"


def test_how_many(tmp_path):
    rows = [{"question": f"q {i}", "answer": f"#### {i}"} for i in range(30)]
    path = write_rows(tmp_path / "gsm8k.jsonl", rows)
    assert len(load("gsm8k", path)) == 30
    assert [p.answer for p in load("gsm8k", path, count=3)] == ["0", "1", "2"]
    drawn = [int(p.answer) for p in load("gsm8k", path, count=10, sample="random", seed=1)]
    assert drawn == sorted(drawn) != list(range(10))
    assert drawn != [int(p.answer) for p in load("gsm8k", path, count=10, sample="random", seed=2)]
    more = {int(p.answer) for p in load("gsm8k", path, count=20, sample="random", seed=1)}
    assert set(drawn) < more
    with pytest.raises(DataError, match=r"30 of 30 rows .* can be used .* and 31 are needed"):
        load("gsm8k", path, count=31)


def test_a_changed_file_is_read_again(tmp_path):
    path = write_rows(tmp_path / "gsm8k.jsonl", GSM8K)
    assert len(load("gsm8k", path)) == 3
    write_rows(path, GSM8K[:2])
    assert len(load("gsm8k", path)) == 2


def test_rows_that_cannot_be_used_are_an_error_unless_enough_are_left(tmp_path):
    rows = [*MATH, MATH[0] | {"solution": r"\boxed{}"}, MATH[0] | {"type": "Cooking"}, {"problem": "p"}, 7]
    path = write_rows(tmp_path / "math.jsonl", rows)
    with pytest.raises(DataError) as error:
        load("minerva_math", path)
    message = str(error.value)
    assert "4 of 8 rows" in message and "the solution has no boxed answer 1 (math.jsonl:5)" in message
    assert "'Cooking' is not one of MATH's seven 1 (math.jsonl:6)" in message and "min_count" in message
    found = load_benchmark(benchmark_source("minerva_math", path, min_count=4))
    assert len(found.problems) == 4
    assert found.left_out == {
        "the solution has no boxed answer": 1,
        "subject 'Cooking' is not one of MATH's seven": 1,
        "column 'solution' is missing or no str": 1,
        "not an object but a int": 1,
    }
    assert len(load("minerva_math", path, count=4)) == 4


@pytest.mark.parametrize(
    ("task", "row", "reason"),
    [
        ("gsm8k", GSM8K[0] | {"answer": "12"}, "no answer after ####"),
        ("gsm8k", GSM8K[0] | {"question": " "}, "the question is empty"),
        ("gsm8k", GSM8K[0] | {"question": 5}, "column 'question' is missing or no str"),
        ("humaneval", HUMANEVAL[0] | {"test": "assert True"}, "no check function"),
        ("humaneval", HUMANEVAL[0] | {"entry_point": "not a name"}, "the entry point is not a name"),
        ("mbpp", MBPP[0] | {"test_list": ["assert add(1, 2) == 3"]}, "at least 3 texts"),
        ("mbpp", MBPP[0] | {"test_list": [1, 2, 3]}, "at least 3 texts"),
        ("mbpp", MBPP[0] | {"text": ""}, "the text is empty"),
    ],
)
def test_reasons(task, row, reason, tmp_path):
    with pytest.raises(DataError, match=reason):
        load(task, write_rows(tmp_path / "rows.jsonl", [row]))


@pytest.mark.parametrize(
    ("task", "more", "error", "message"),
    [
        (
            "",
            {},
            ConfigError,
            "option task '' is not a benchmark; name one by options: {task: NAME}; known: gsm8k",
        ),
        ("gsm9k", {}, ConfigError, "'gsm9k' is not a benchmark; did you mean gsm8k"),
        ("", {}, ConfigError, "is not a benchmark"),
        (
            "gsm8k",
            {"options": {"num_fewshot": 5}},
            ConfigError,
            "num_fewshot is 5; gsm8k has 0 examples, leave it out",
        ),
        ("mbpp", {"options": {"num_fewshot": -2}}, ConfigError, "use 0 to 3"),
        ("mbpp", {"options": {"rows": "train"}}, ConfigError, "option rows is 'train'; use one of test, all"),
        ("mbpp", {"options": {"limit": 3}}, ConfigError, "option 'limit' is not known"),
        ("mbpp", {"options": {"num_fewshot": "3"}}, ConfigError, "it takes a whole number"),
    ],
)
def test_wrong_settings(task, more, error, message, small_files):
    with pytest.raises(error, match=message):
        load(task, small_files["mbpp"], **more)


def test_wrong_files(tmp_path):
    with pytest.raises(DataError, match=r"none\.jsonl' is not a file"):
        load("gsm8k", tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="no row of the benchmark's test split; set rows: all"):
        load("mbpp", write_rows(tmp_path / "mbpp.jsonl", MBPP[2:]))
    with pytest.raises(DataError, match=r"twice.jsonl:1 and twice.jsonl:2 both have the id 'mbpp/11'"):
        load("mbpp", write_rows(tmp_path / "twice.jsonl", [MBPP[0], MBPP[0] | {"text": "other"}]))
    (tmp_path / "rows.txt").write_text("x")
    with pytest.raises(DataError, match=r"suffix '\.txt'"):
        load("gsm8k", tmp_path / "rows.txt")


def test_without_a_network_the_hub_is_one_clear_error(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    with pytest.raises(DataError, match=r"openai/gsm8k \(main\), split test, cannot be read .*path"):
        load("gsm8k", "")


def test_rows_of_the_hub(monkeypatch):
    """The data sets as lm-eval's own tasks name them; MATH's subsets one after the other."""
    import datasets

    calls = []

    def load_dataset(path, config, *, split, revision, cache_dir):
        assert cache_dir is None, "that of the hub is datasets' own"
        calls.append((path, config, split, revision))
        rows = [row for row in MATH if SUBSETS[row["type"]] == config] if "math" in path else GSM8K
        return datasets.Dataset.from_list(rows or [MATH[0] | {"problem": f"one of {config}"}])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    options = {"task": "gsm8k", "revision": "abc"}
    found = load_benchmark(SourceConfig(name="hub", source="benchmark", options=options)).problems
    assert [(p.id, p.answer) for p in found] == [("hub/1", "12"), ("hub/2", "1,000"), ("hub/3", "-4")]
    assert calls == [("openai/gsm8k", "main", "test", "abc")]
    calls.clear()
    options = {"task": "minerva_math"}
    found = load_benchmark(SourceConfig(name="hub", source="benchmark", options=options)).problems
    assert [call[1] for call in calls] == sorted(SUBSETS.values())
    assert {call[0] for call in calls} == {"EleutherAI/hendrycks_math"}
    assert [p.id for p in found][:3] == ["hub/algebra/1", "hub/algebra/2", "hub/counting_and_probability/1"]
