"""Judgements of the trajectories of one shard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tad_core.config import TADConfig
from tad_core.data.problem import Problem
from tad_core.data.responses import END_TOKENS
from tad_core.errors import DataError, VerifierError
from tad_core.progress import OnProgress, Progress
from tad_core.trajectory.schema import Trajectory
from tad_core.verify import Judgement, Verdict, Verifier


def judge_rows(
    config: TADConfig,
    verifier: Verifier,
    rows: Sequence[Trajectory],
    problems: Mapping[str, Problem],
    on_progress: OnProgress,
) -> list[Judgement]:
    """The judgement of each trajectory, in their order.

    Args:
        config: the run.
        verifier: an open one.
        rows: of one shard.
        problems: all of the collection, by id.
        on_progress: told the trajectories judged.

    Raises:
        DataError: a trajectory's problem is none of these.
        VerifierError: the verifier itself failed on one: it is neither right nor wrong.
    """
    unknown = sorted({row.problem_id for row in rows} - problems.keys())
    if unknown:
        raise DataError(
            f"filter: problem {unknown[0]!r} of a trajectory is not among the {len(problems)} problems "
            "of this configuration; collect again, or restore the data section the collection was made with"
        )

    def tell(done: int, total: int) -> None:
        on_progress(Progress("filter", done, total, "trajectories"))

    asked = [problems[row.problem_id] for row in rows]
    judgements = verifier.judge(asked, _texts(config, rows), tell)
    assert len(judgements) == len(rows), "the verifier answers every text"
    failed = [
        (row, j) for row, j in zip(rows, judgements, strict=True) if j.verdict is Verdict.INFRASTRUCTURE
    ]
    if failed:
        row, judgement = failed[0]
        raise VerifierError(
            f"filter: the verifier itself failed on {len(failed)} of {len(rows)} texts, first "
            f"{row.problem_id!r}: {judgement.reason}; run `tad doctor`, then the same command again"
        )
    return judgements


def _texts(config: TADConfig, rows: Sequence[Trajectory]) -> list[str]:
    """The text of each response. Where one spells an end, its tokens say whether it ends there.

    Texts of version 0.1 go on behind the end of a turn, and a program may speak of such a token.
    """
    if not any(end in row.text for row in rows for end in END_TOKENS):
        return [row.text for row in rows]
    from tad_core.checkpoint import load_tokenizer
    from tad_core.data.responses import end_ids, response_text

    tokenizer = load_tokenizer(config.model)
    ends = end_ids(tokenizer)
    return [response_text(tokenizer, row.response_ids, ends) for row in rows]
