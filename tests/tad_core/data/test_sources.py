from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tad_core.config import SourceConfig
from tad_core.data.problem import Problem
from tad_core.data.sources import SOURCES, arithmetic, load_problems, load_source, pyfunc
from tad_core.data.sources._generated import HELDOUT_SHARE, split_of
from tad_core.errors import ConfigError, DataError


def source(name: str = "arithmetic", **kwargs: object) -> SourceConfig:
    return SourceConfig.model_validate({"name": name, "source": name, "count": 40, **kwargs})


def test_hand_computed_chain() -> None:
    chain = arithmetic.Chain(6, (("-", 3), ("*", 4), ("/", 2)))
    assert chain.values() == [6, 3, 12, 6]
    assert arithmetic.solution(chain, "equations") == (
        "6 - 3 = 3. 3 * 4 = 12. 12 / 2 = 6. The answer is \\boxed{6}."
    )
    assert arithmetic.solution(chain, "lines").endswith("Step 3: 12 / 2 = 6\nAnswer: \\boxed{6}")


@given(seed=st.integers(0, 2**32), steps=st.integers(1, 6))
@settings(max_examples=200, deadline=None)
def test_every_style_ends_in_the_answer_and_values_stay_in_range(seed: int, steps: int) -> None:
    rng = random.Random(seed)
    chain = arithmetic.draw_chain(rng, steps)
    values = chain.values()
    assert len(values) == steps + 1 and all(0 <= v <= arithmetic.LARGEST for v in values)
    for (op, n), before, after in zip(chain.steps, values, values[1:], strict=False):
        assert op != "/" or before == after * n  # exact
    for style in arithmetic.STYLES:
        assert re.findall(r"boxed\{(\d+)\}", arithmetic.solution(chain, style)) == [str(values[-1])]


@given(seed=st.integers(0, 2**32), steps=st.integers(1, 6))
@settings(max_examples=200, deadline=None)
def test_every_program_style_computes_the_operations(seed: int, steps: int) -> None:
    rng = random.Random(seed)
    function = pyfunc.draw_function(rng, steps)
    for style in pyfunc.STYLES:
        scope: dict[str, object] = {}
        body = pyfunc.solution(function, "f", style).removeprefix("```python\n").removesuffix("\n```")
        exec(body, scope)
        for x, y in ((0, 0), (7, -3), (-11, 5), (60, 20)):
            assert scope["f"](x, y) == function.run(x, y), (style, body)  # type: ignore[operator]


@pytest.mark.parametrize("name", ["arithmetic", "pyfunc"])
def test_same_seed_same_problems_and_other_seed_others(name: str) -> None:
    first, again, other = (
        load_source(source(name)),
        load_source(source(name)),
        load_source(source(name, seed=1)),
    )
    assert first == again
    assert [p.question for p in first] != [p.question for p in other]


@pytest.mark.parametrize("name", ["arithmetic", "pyfunc"])
def test_train_and_heldout_share_no_problem_whatever_the_seeds(name: str) -> None:
    train = {
        p.meta["signature"] for seed in range(3) for p in load_source(source(name, seed=seed, count=150))
    }
    held = {p.meta["signature"] for s in range(3) for p in load_source(source(name, seed=s, split="heldout"))}
    assert len(held) > 30 and not train & held
    assert {split_of(s) for s in held} == {"heldout"}
    share = sum(split_of(f"x{i}") == "heldout" for i in range(4000)) / 4000
    assert abs(share - 1 / HELDOUT_SHARE) < 0.015


def test_more_problems_keep_the_first_ones() -> None:
    few, many = load_source(source(count=10)), load_source(source(count=30))
    assert many[:10] == few


def test_too_few_distinct_problems_is_one_clear_error() -> None:
    with pytest.raises(DataError, match=r"only \d+ distinct heldout problems exist"):
        load_source(source(count=100_000, split="heldout", options={"min_steps": 1, "max_steps": 1}))


def test_unknown_source_and_option_name_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean arithmetic"):
        load_source(SourceConfig(name="a", source="arithmetics", count=1))
    with pytest.raises(ConfigError, match="did you mean max_steps"):
        load_source(source(options={"max_step": 3}))
    with pytest.raises(ConfigError, match="it takes a whole number"):
        load_source(source(options={"max_steps": "3"}))
    with pytest.raises(ConfigError, match="1 <= min <= max <= 6"):
        load_source(source(options={"min_steps": 4, "max_steps": 2}))


def test_the_same_source_twice_gives_nothing_new() -> None:
    with pytest.raises(
        DataError,
        match=r"0 of 40 rows can be used .* duplicate problem 40 \(arithmetic/train/0/0 and ",
    ):
        load_problems([source(), source()])


def test_a_generator_needs_a_count() -> None:
    with pytest.raises(ConfigError, match="count is missing; arithmetic makes as many"):
        load_source(source(count=None))


def test_problem_validates_itself() -> None:
    with pytest.raises(DataError, match="needs tests"):
        Problem("a", "s", "code", "q", "r")
    with pytest.raises(DataError, match="needs an answer"):
        Problem("a", "s", "math", "q", "r")
    with pytest.raises(DataError, match="use 'math' or 'code'"):
        Problem("a", "s", "prose", "q", "r", answer="1")  # type: ignore[arg-type]


def test_the_guides_example_is_a_configuration() -> None:
    text = (Path(__file__).resolve().parents[3] / "docs" / "data.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(data:.*?)```", text, re.DOTALL)
    sources = [SourceConfig.model_validate(entry) for entry in yaml.safe_load(block)["data"]]
    assert {source.source for source in sources} <= SOURCES.keys()
    for source in sources:  # every option is known: what fails is that the files are not there
        with pytest.raises(DataError, match=r"is not a file|cannot be read"):
            load_source(source)
    table = text.partition("## Sources")[2].partition("### Options")[0]
    named = re.findall(r"^\| `(\w+)`(?:, `(\w+)`)? \|", table, re.MULTILINE)
    assert {name for pair in named for name in pair if name} == {*SOURCES, "benchmark"}
