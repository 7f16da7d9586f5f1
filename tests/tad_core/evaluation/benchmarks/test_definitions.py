"""The YAMLs against lm-eval's own definitions: equal but where their first lines say otherwise."""

import ast
import re
from importlib.metadata import distribution
from pathlib import Path

import pytest
import yaml

from tad_core.evaluation.benchmarks import BENCHMARKS
from tad_core.evaluation.benchmarks.lm_eval_math import functions_path, load_functions
from tad_core.evaluation.benchmarks.mbpp import MBPPInstruct

THEIRS = Path(str(distribution("lm-eval").locate_file("lm_eval/tasks")))


class Loader(yaml.SafeLoader):
    pass


Loader.add_constructor("!function", lambda loader, node: f"!{node.value}")


def built_in(name):
    """One of lm-eval's YAMLs with what it includes."""
    tree = yaml.load((THEIRS / name).read_text(encoding="utf-8"), Loader=Loader)
    included = tree.pop("include", None)
    return {**(built_in(f"{Path(name).parent}/{included}") if included else {}), **tree}


def function_of(path, name):
    """One function of a module that cannot be imported without running programs."""
    tree = ast.parse((THEIRS / path).read_text(encoding="utf-8"))
    (node,) = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == name]
    scope = {"re": re}
    exec(compile(ast.Module(body=[node], type_ignores=[]), path, "exec"), scope)
    return scope[name]


def same(name, ours, theirs, fields):
    for field in fields:
        assert ours.get(field) == theirs.get(field), f"{name}: {field}"


DATA = ("dataset_path", "dataset_name", "test_split", "output_type")
SCORES = ("filter_list", "metric_list", "doc_to_target")


@pytest.mark.parametrize("name", ["gsm8k", "gsm8k_cot_zeroshot"])
def test_gsm8k(name):
    ours, theirs = BENCHMARKS[name].config, built_in(f"gsm8k/{name.replace('_', '-')}.yaml")
    same(name, ours, theirs, (*DATA, *SCORES))
    assert ours["generation_kwargs"]["until"] == theirs["generation_kwargs"]["until"]
    if name == "gsm8k":
        # the paper's request, without examples
        assert ours["doc_to_text"].startswith(theirs["doc_to_text"])
        assert (ours["num_fewshot"], theirs["num_fewshot"]) == (0, 5)
    else:
        same(name, ours, theirs, ("doc_to_text", "num_fewshot"))


def test_minerva_math():
    benchmark, ours = BENCHMARKS["minerva_math"], BENCHMARKS["minerva_math"].config
    theirs = built_in("minerva_math/minerva_math_algebra.yaml")
    same(
        "minerva_math",
        ours,
        theirs,
        ("dataset_path", "test_split", "output_type", "metric_list", "num_fewshot"),
    )
    assert ours["generation_kwargs"]["until"] == theirs["generation_kwargs"]["until"]
    functions = load_functions(functions_path())
    samples = functions.list_fewshot_samples()
    assert benchmark.examples == [{k: s[k] for k in ("problem", "solution")} for s in samples]
    assert benchmark.messages(samples[0], 0)[0]["content"] == functions.doc_to_text(samples[0])
    subsets = {path.stem for path in (THEIRS / "minerva_math").glob("minerva_math_*.yaml")}
    names = {built_in(f"minerva_math/{stem}.yaml")["dataset_name"] for stem in subsets}
    assert {part["dataset_name"] for part in ours["task"]} == names


@pytest.mark.parametrize("name", ["humaneval", "humaneval_instruct"])
def test_humaneval(name):
    ours, theirs = BENCHMARKS[name].config, built_in(f"humaneval/{name}.yaml")
    same(name, ours, theirs, (*DATA, "doc_to_target", "num_fewshot"))
    # the paper's chat for LLaDA is the question of the instruct task
    same(name, ours, built_in("humaneval/humaneval_instruct.yaml"), ("doc_to_text",))
    assert ours.get("gen_prefix") == theirs.get("gen_prefix")
    until = theirs["generation_kwargs"]["until"]
    assert BENCHMARKS[name].until == ([] if name == "humaneval" else until)


@pytest.mark.parametrize("name", ["mbpp", "mbpp_instruct"])
def test_mbpp(name):
    benchmark, ours = BENCHMARKS[name], BENCHMARKS[name].config
    theirs = built_in(f"mbpp/{name}.yaml")
    same(name, ours, theirs, (*DATA, "doc_to_text", "doc_to_target", "target_delimiter", "gen_prefix"))
    assert benchmark.until == theirs["generation_kwargs"]["until"]
    assert benchmark.examples == function_of("mbpp/utils.py", "list_fewshot_samples")()
    assert ours["num_fewshot"] == (3 if name == "mbpp" else 0)


@pytest.mark.parametrize("name", ["humaneval_plus", "humaneval_plus_instruct"])
def test_humaneval_plus(name):
    """The data set is lm-eval's; the prompts are HumanEval's here."""
    ours, plain = BENCHMARKS[name].config, BENCHMARKS[name.replace("_plus", "")].config
    same(name, ours, built_in("humaneval/humaneval_plus.yaml"), DATA)
    own = ("task", "dataset_path", "filter_list")
    assert {k: v for k, v in ours.items() if k not in own} == {k: v for k, v in plain.items() if k not in own}


@pytest.mark.parametrize("name", ["mbpp_plus", "mbpp_plus_instruct"])
def test_mbpp_plus(name):
    benchmark, ours = BENCHMARKS[name], BENCHMARKS[name].config
    theirs = built_in(f"mbpp/{name}.yaml")
    same(name, ours, theirs, (*DATA, "doc_to_text", "doc_to_target", "target_delimiter", "gen_prefix"))
    assert benchmark.until == theirs["generation_kwargs"]["until"]
    assert benchmark.examples == BENCHMARKS["mbpp"].examples
    assert ours["num_fewshot"] == (3 if name == "mbpp_plus" else 0)


ANSWERS = [
    "    return [2 * x for x in xs]\n```\nDone.",
    "    return 1\n",
    "```python\ndef f():\n    return 1\n```",
    "def f():\n    return 1\n```\nand ```\nx\n```",
    "\ndef f():\n    return 1\n```",
    "no code",
    "",
]


@pytest.mark.parametrize("text", ANSWERS)
def test_the_programs_that_lm_eval_makes(text, small_problems):
    problem = small_problems["humaneval"][0]
    doc = {"prompt": problem.question}
    for name, function in (
        ("humaneval", "build_predictions"),
        ("humaneval_instruct", "build_predictions_instruct"),
    ):
        ours = BENCHMARKS[name].lm_eval_program(problem, text)
        assert [[ours]] == function_of("humaneval/utils.py", function)([[text]], [doc])
    theirs = function_of("mbpp/utils.py", "extract_code_blocks")(text)
    assert MBPPInstruct("mbpp_instruct").lm_eval_program(problem, text) == theirs


def test_no_code_metric_of_the_hub_and_no_program_here():
    for name in BENCHMARKS:
        text = BENCHMARKS[name].path.read_text(encoding="utf-8")
        assert "code_eval" not in text and "unsafe_code" not in text
