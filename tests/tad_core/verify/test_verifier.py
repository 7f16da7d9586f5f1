"""The verifier as a whole: order, progress, threads, faults of its own processes."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import ValidationError

from tad_core.data.problem import Problem
from tad_core.errors import VerifierError
from tad_core.verify import Judgement, Verdict, Verifier, VerifyConfig
from tad_core.verify.code import CodeJob
from tad_core.verify.math_process import AlgebraError, AlgebraProcess
from tad_core.verify.verdict import CodeResult
from tad_core.verify.verifier import kind_of
from tests.tad_core.verify.conftest import require
from tests.tad_core.verify.test_attacks import processes
from tests.waiting import until

FENCE = "```"


def math_problem(answer: str, source: str = "math") -> Problem:
    return Problem(f"{source}/{answer}", source, "math", "q", "r", answer=answer)


def code_problem(result: int) -> Problem:
    tests = f"def check(candidate):\n    assert candidate(1, 2) == {result}\n"
    return Problem(f"code/{result}", "code", "code", "q", "r", tests=tests, meta={"entry_point": "f"})


def program(result: int) -> str:
    return f"Here:\n{FENCE}python\ndef f(x, y):\n    x = x + {result - 1}\n    return x\n{FENCE}\n"


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    with Verifier(VerifyConfig(workers=2, code_timeout_s=2)) as made:
        yield made


def test_judgements_come_in_the_order_of_the_texts_with_progress(verifier: Verifier) -> None:
    problems = [
        math_problem("2"),
        code_problem(4),
        math_problem(r"\sqrt{2}"),
        code_problem(5),
        math_problem("7"),
        code_problem(1),
    ]
    texts = ["so 2", program(4), r"\boxed{\frac{2}{\sqrt{2}}}", program(4), "who knows", "no program"]
    seen: list[tuple[int, int]] = []
    judgements = verifier.judge(problems, texts, lambda done, total: seen.append((done, total)))
    assert [judgement.verdict for judgement in judgements] == [
        Verdict.PASSED, Verdict.PASSED, Verdict.PASSED, Verdict.FAILED, Verdict.NO_ANSWER, Verdict.NO_CODE,
    ]  # fmt: skip
    assert [judgement.correct for judgement in judgements] == [True, True, True, False, False, False]
    assert judgements[0].extracted == "2" and judgements[1].extracted.startswith("def f")
    assert [total for _, total in seen] == [6] * len(seen)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen}) and seen[-1] == (6, 6)


def python(source: str) -> str:
    return f"{FENCE}python\n{source}\n{FENCE}"


HOSTILE = "9^{9^{9^{9}}}"
VERDICTS: dict[Verdict, list[tuple[Problem, str]]] = {
    Verdict.PASSED: [(math_problem("2"), "so 2"), (code_problem(4), program(4))],
    Verdict.DIFFERENT: [(math_problem("2"), "so 3"), (math_problem(r"\sin x"), r"\boxed{\cos x}")],
    Verdict.UNPARSABLE: [
        (math_problem("18", "gsm8k"), r"\boxed{many}"),
        (math_problem("2"), r"\boxed{((((}"),
    ],
    Verdict.NO_ANSWER: [(math_problem("2"), "who knows")],
    Verdict.FAILED: [(code_problem(4), program(5)), (code_problem(4), python("def f(x, y): raise OSError"))],
    Verdict.NO_TESTS: [(Problem("c", "c", "code", "q", "r", tests="x = 1"), python("def f(x): return x"))],
    Verdict.NO_CODE: [(code_problem(4), "no program")],
    Verdict.TIMEOUT: [
        (math_problem("3"), rf"\boxed{{{HOSTILE}}}"),
        (code_problem(4), python("while True: pass")),
    ],
    Verdict.OUT_OF_MEMORY: [(code_problem(4), python("def f(x, y): return [0] * 10 ** 12"))],
    Verdict.MISSING_PACKAGE: [(code_problem(4), python("import no_such_package_xyz\ndef f(x, y): return 4"))],
    Verdict.CRASHED: [(code_problem(4), python("import os\nos._exit(0)"))],
}


def test_every_verdict_is_reached() -> None:
    """But the verifier's own failure, which is an error and no verdict on a text."""
    assert set(VERDICTS) == set(Verdict) - {Verdict.INFRASTRUCTURE}
    cases = [(verdict, *case) for verdict, some in VERDICTS.items() for case in some]
    with Verifier(VerifyConfig(workers=2, code_timeout_s=2, math_timeout_s=1)) as verifier:
        judgements = verifier.judge([problem for _, problem, _ in cases], [text for _, _, text in cases])
    found = [(judgement.verdict, text) for judgement, (_, _, text) in zip(judgements, cases, strict=True)]
    assert found == [(verdict, text) for verdict, _, text in cases]
    assert all(judgement.reason for judgement in judgements)


def test_nothing_to_judge_is_nothing(verifier: Verifier) -> None:
    assert verifier.judge([], []) == []
    with pytest.raises(ValueError, match="1 problems but 0 texts"):
        verifier.judge([math_problem("2")], [])


def test_many_threads_may_judge_at_once(verifier: Verifier) -> None:
    found: dict[int, list[Judgement]] = {}

    def work(k: int) -> None:
        found[k] = verifier.judge([code_problem(k)] * 5, [program(k)] * 4 + [program(k + 1)])

    threads = [threading.Thread(target=work, args=(k,)) for k in range(2, 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(2, 8):
        assert [judgement.correct for judgement in found[k]] == [True] * 4 + [False]


def test_own_classes_may_be_refused() -> None:
    solution = "class V:\n    def __eq__(self, o):\n        return True\ndef f(x):\n    return V()\n"
    problem = Problem("c", "c", "code", "q", "r", tests="from solution import V, f\nassert f(1) == V()\n")
    text = f"{FENCE}python\n{solution}{FENCE}"
    with Verifier(VerifyConfig(workers=1)) as verifier:
        allowed = verifier.judge([problem], [text])[0]
    with Verifier(VerifyConfig(workers=1, own_classes="refuse")) as verifier:
        refused = verifier.judge([problem], [text])[0]
    assert allowed.correct and "lower trust" in allowed.reason
    assert refused.verdict is Verdict.FAILED


def test_the_kind_of_a_math_problem() -> None:
    assert kind_of(math_problem("18", "gsm8k")) == "number"
    assert kind_of(math_problem("18")) == "expression"
    assert kind_of(math_problem(r"\sqrt{2}", "gsm8k")) == "expression"


def infrastructure(*broken: str) -> Any:
    """Stands for running a program: the sandbox of one that holds a word of ``broken`` fails."""

    def run(job: CodeJob, keeper: object) -> CodeResult:
        if any(word in job.solution for word in broken):
            return CodeResult(Verdict.INFRASTRUCTURE, "killed from outside", 0, 1)
        return CodeResult(Verdict.PASSED, "", 1, 1)

    return run


def test_no_program_ends_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """One whose sandbox fails each time, while others are held, is judged; the others keep their verdicts."""
    monkeypatch.setattr(CodeJob, "run", infrastructure("hostile"))
    texts = [program(4), program(4).replace("def", "# hostile\ndef"), program(4)]
    with Verifier(VerifyConfig(workers=2, retries=1)) as verifier:
        judged = verifier.judge([code_problem(4)] * 3, texts)
    assert [j.verdict for j in judged] == [Verdict.PASSED, Verdict.CRASHED, Verdict.PASSED]
    assert "failed 2 times, and holds other programs: killed from outside" in judged[1].reason


def dying(*deadly: str) -> Any:
    """Stands for comparing two answers: the process that is given one of ``deadly`` dies of it."""
    compare = AlgebraProcess.compare

    def compared(self: AlgebraProcess, prediction: str, *rest: Any) -> Any:
        if prediction in deadly:
            raise AlgebraError("the algebra process ended (exit status -11)")
        return compare(self, prediction, *rest)

    return compared


def test_no_answer_ends_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """One whose comparison fails each time, while others do not, is judged; the others keep their verdicts."""
    monkeypatch.setattr(AlgebraProcess, "compare", dying("(1+x)^2"))
    texts = [rf"\boxed{{{answer}}}" for answer in ("(x+1)^2", "(1+x)^2", "(x+2)^2")]
    with Verifier(VerifyConfig(workers=2, retries=1)) as verifier:
        judged = verifier.judge([math_problem("x^2+2x+1")] * 3, texts)
    assert [j.verdict for j in judged] == [Verdict.PASSED, Verdict.UNPARSABLE, Verdict.DIFFERENT]
    assert "failed 2 times, and others do not: the algebra process ended" in judged[1].reason


def test_a_machine_that_compares_no_answers_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AlgebraProcess, "compare", dying("(x+3)^2", "x+1"))
    with (
        Verifier(VerifyConfig(workers=1, retries=1)) as verifier,
        pytest.raises(VerifierError, match="failed 2 times at one item: the algebra process ended"),
    ):
        verifier.judge([math_problem("x^2+6x+9")], [r"\boxed{(x+3)^2}"])


def test_a_machine_that_holds_no_program_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CodeJob, "run", infrastructure("return"))
    with (
        Verifier(VerifyConfig(workers=1, retries=1)) as verifier,
        pytest.raises(VerifierError, match="killed from outside"),
    ):
        verifier.judge([code_problem(4)], [program(4)])


def kill_one(verifier: Verifier, chance: random.Random) -> None:
    """Kill one of the verifier's processes, or of those below them."""
    with contextlib.suppress(psutil.NoSuchProcess):
        roots = [psutil.Process(pid) for pid in verifier.process_ids()]
        family = [one for root in roots for one in (root, *root.children(recursive=True))]
        if family:
            chance.choice(family).kill()


def kill_now_and_then(verifier: Verifier, stop: threading.Event, every_s: float) -> None:
    """Kill one at random, again and again."""
    chance = random.Random(0)
    while not stop.wait(every_s * chance.uniform(0.5, 1.5)):
        kill_one(verifier, chance)


def run_chaos(count: int, every: int) -> None:
    """Judge ``count`` mixed items, with a kill after ``every`` of them; each must end with its own right verdict."""
    kinds: list[tuple[Problem, str, Verdict]] = [
        (math_problem("5"), r"\boxed{5}", Verdict.PASSED),
        (math_problem(r"\frac{\sqrt{12}}{2}"), r"\boxed{\sqrt{3}}", Verdict.PASSED),
        (math_problem(r"\sin x"), r"\boxed{\cos x}", Verdict.DIFFERENT),
        (code_problem(4), program(4), Verdict.PASSED),
        (code_problem(4), program(5), Verdict.FAILED),
        (code_problem(4), f"{FENCE}python\nimport os\nos._exit(0)\n{FENCE}", Verdict.CRASHED),
        (
            code_problem(4),
            f"{FENCE}python\ndef f(x, y):\n    return [0] * 10 ** 12\n{FENCE}",
            Verdict.OUT_OF_MEMORY,
        ),
    ]
    before, folders = processes(), own_folders()
    chance = random.Random(1)
    items = [chance.choice(kinds) for _ in range(count)]
    done: list[int] = []
    with Verifier(VerifyConfig(workers=2, retries=20, code_timeout_s=5)) as verifier:

        def judged(n: int, total: int) -> None:
            done.append(n)
            if n % every == 0:
                kill_one(verifier, chance)

        judgements = verifier.judge([p for p, _, _ in items], [t for _, t, _ in items], judged)
    assert len(judgements) == count
    wrong = [
        (i, j, want)
        for i, (j, (_, _, want)) in enumerate(zip(judgements, items, strict=True))
        if j.verdict is not want
    ]
    assert wrong == []
    assert done == sorted(set(done)) and done[-1] == count  # none twice
    # The host's init reaps what a killed process leaves; other verifiers on this machine have folders meanwhile.
    until(lambda: nothing_is_left_but(before), "every process of a sandbox has ended and is reaped")
    until(lambda: own_folders() <= folders, "temporary folders are gone")


def own_folders() -> set[str]:
    """Temporary folders of the verifier's."""
    return {str(path) for path in Path(tempfile.gettempdir()).glob("tad-probe-*")} | {
        str(path) for path in Path(tempfile.gettempdir()).glob(f"tad-verify-{os.geteuid()}/building-*")
    }


def nothing_is_left_but(before: set[str]) -> bool:
    """Whether nothing of a sandbox runs that did not before, and nothing waits to be reaped by us."""
    children = subprocess.run(
        ["ps", "--ppid", str(os.getpid()), "-o", "stat="], capture_output=True, text=True
    ).stdout
    return not processes() - before and not any(line.startswith("Z") for line in children.split())


def test_killed_workers_cost_no_item_its_verdict() -> None:
    run_chaos(40, every=5)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_thousand_items_survive_killed_workers() -> None:
    run_chaos(10_000, every=50)


def test_a_verifier_that_keeps_failing_is_an_error_and_never_a_wrong_answer() -> None:
    stop = threading.Event()
    sleeper = f"{FENCE}python\nimport time\ndef f(x, y):\n    time.sleep(5)\n    return 4\n{FENCE}"
    with Verifier(VerifyConfig(workers=1, retries=1, code_timeout_s=10)) as verifier:
        killer = threading.Thread(target=kill_now_and_then, args=(verifier, stop, 1.0))
        killer.start()
        with pytest.raises(VerifierError, match="failed 2 times"):
            verifier.judge([code_problem(4)], [sleeper])
        stop.set()
        killer.join()
        assert verifier.judge([code_problem(4)], [program(4)])[0].correct  # and it can go on


def test_a_parent_that_is_killed_leaves_no_process_behind() -> None:
    require(1)
    script = (
        "from tad_core.verify import Verifier, VerifyConfig\nfrom tad_core.data.problem import Problem\n"
        "import threading, time\n"
        "v = Verifier(VerifyConfig(workers=1))\n"
        "p = Problem('c', 'c', 'code', 'q', 'r', tests='assert f() == 1')\n"
        f"text = '{FENCE}python\\nimport time\\ndef f():\\n    time.sleep(600)\\n{FENCE}'\n"
        "threading.Thread(target=lambda: v.judge([p], [text]), daemon=True).start()\n"
        "while not v.process_ids(): time.sleep(0.05)\n"
        "time.sleep(0.5)\nprint(v.process_ids()[0], flush=True)\ntime.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    keeper = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until(lambda: not _runs(keeper), "the sandbox ends after its parent")


def _runs(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False


def test_importing_the_verifier_loads_nothing_heavy() -> None:
    heavy = "('sympy', 'torch', 'prefect', 'math_verify')"
    script = f"import sys, tad_core.verify; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_closed_pool_starts_again() -> None:
    verifier = Verifier(VerifyConfig(workers=1))
    assert verifier.judge([code_problem(4)], [program(4)])[0].correct
    verifier.close()
    verifier.close()
    assert verifier.process_ids() == []
    assert verifier.judge([code_problem(4)], [program(4)])[0].correct
    verifier.close()


def test_the_configuration_refuses_what_it_does_not_know() -> None:
    with pytest.raises(ValidationError):
        VerifyConfig(sandbox="none")  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        VerifyConfig(worker=2)  # type: ignore[call-arg]
    assert set(VerifyConfig.model_fields) >= VerifyConfig.RUNTIME_FIELDS
    assert all(field.description for field in VerifyConfig.model_fields.values())
    config = VerifyConfig(extract_by_source={"gsm8k": ("hashes",)})
    assert config.order_for("gsm8k") == ("hashes",) and config.order_for("math") == config.extract
