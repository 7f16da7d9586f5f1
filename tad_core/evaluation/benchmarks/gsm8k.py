"""GSM8K (Cobbe et al. 2021): word problems whose answer is one number."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar

from tad_core.data.problem import Problem
from tad_core.evaluation.benchmarks.base import Benchmark, Figures, Row, RowError
from tad_core.evaluation.scoring import Scorer
from tad_core.verify.extract import after_hashes

_INVALID = "[invalid]"


class GSM8K(Benchmark):
    """Judged by the number; lm-eval's figures compare strings after two ways of finding it."""

    kind = "math"
    columns: ClassVar = {"question": str, "answer": str}
    figure_names = ("exact_match,flexible-extract", "exact_match,strict-match")

    def fields(self, row: Row) -> dict[str, Any]:
        """See ``Benchmark.fields``."""
        if not row["question"].strip():
            raise RowError("the question is empty")
        if not (answer := after_hashes(row["answer"])):
            raise RowError("the reference has no answer after ####")
        return {
            "question": row["question"],
            "reference": row["answer"],
            "answer": answer,
            "meta": {"math_kind": "number"},
        }

    def figures(self, problems: Sequence[Problem], texts: Sequence[str], scorer: Scorer) -> list[Figures]:
        """See ``Benchmark.figures``."""
        return [self._figures(p.reference, t) for p, t in zip(problems, texts, strict=True)]

    def _figures(self, reference: str, text: str) -> Figures:
        found: Figures = {}
        for rule in self.config["filter_list"]:
            regex = rule["filter"][0]
            number = _find(regex["regex_pattern"], text, regex.get("group_select", 0))
            found[f"exact_match,{rule['name']}"] = float(self._plain(number) == self._plain(reference))
        return found

    def _plain(self, text: str) -> str:
        for pattern in self.config["metric_list"][0]["regexes_to_ignore"]:
            text = re.sub(pattern, "", text)
        return text.lower()


def _find(pattern: str, text: str, index: int) -> str:
    """The match at ``index``, of several groups the first that took part; as lm-eval's filter has it."""
    found = re.findall(pattern, text)
    if not found:
        return _INVALID
    match = found[index]
    if isinstance(match, tuple):
        match = next((group for group in match if group), _INVALID)
    return str(match).strip()
