"""What a study shows in plain words: which variants are told apart from ours and from the base, and which are not.

Told apart means that the 95 % interval of the paired difference, over seeds and problems together, excludes 0.
"""

from __future__ import annotations

from collections.abc import Iterator

from tad_core.config import BASE
from tad_core.evaluation.bootstrap import Estimate
from tad_core.report.lineup import Lineup
from tad_core.report.numbers import signed_estimate
from tad_core.report.summary import FEW_PROBLEMS, Finding
from tad_core.study.config import Study
from tad_core.study.costs import rounds_up_to
from tad_core.study.results import Paired, StudyResults
from tad_core.study.tables import Tables, against, apart, over_seeds

FEW_SEEDS = 3
#: what is compared: its name, the unit of a difference, and how many digits of it are shown
_COMPARED = (("accuracy", " points", 1), ("tpf", "", 2), ("aup", "", 0))
_NAMES = {"accuracy": "accuracy", "tpf": "tokens per forward", "aup": "AUP"}


def findings(study: Study, results: StudyResults, lineup: Lineup) -> list[Finding]:
    """Results, then facts, then cautions."""
    tables, decoder = Tables(study, results, lineup), study.config.headline
    found = [Finding("result", text) for text in _against_base(results, lineup, decoder)]
    found += [Finding("result", text) for text in _against_ours(results, lineup, decoder)]
    found += [Finding("result", text) for text in _decoders(study, results, lineup, tables)]
    found += [Finding("fact", text) for text in _facts(study, results)]
    return found + [Finding("caution", text) for text in _cautions(study, results, lineup, decoder)]


def _against_base(results: StudyResults, lineup: Lineup, decoder: str) -> Iterator[str]:
    ours = lineup.label(results.ours)
    if (pair := against(results, results.ours, BASE, decoder)) is None:
        return
    yield f"{ours} against the base: {_differences(pair)}."


def _against_ours(results: StudyResults, lineup: Lineup, decoder: str) -> Iterator[str]:
    ours = lineup.label(results.ours)
    pairs = {
        variant: pair
        for variant in results.variants
        if variant != BASE and (pair := against(results, variant, results.ours, decoder)) is not None
    }
    for measure, unit, digits in _COMPARED:
        estimates = {variant: _of(pair, measure) for variant, pair in pairs.items()}
        lower = [v for v, e in estimates.items() if apart(e) and e.value < 0]
        higher = [v for v, e in estimates.items() if apart(e) and e.value > 0]
        alike = [v for v, e in estimates.items() if apart(e) is False]
        for names, word in ((lower, "lower"), (higher, "higher")):
            if names:
                listed = ", ".join(
                    f"{lineup.label(v)} ({signed_estimate(estimates[v], digits)}{unit})" for v in names
                )
                yield f"Told apart from {ours}, with {word} {_NAMES[measure]}: {listed}."
        if alike:
            listed = ", ".join(
                f"{lineup.label(v)} ({signed_estimate(estimates[v], digits)}{unit})" for v in alike
            )
            yield f"Not told apart from {ours} in {_NAMES[measure]}: {listed}."


def _decoders(study: Study, results: StudyResults, lineup: Lineup, tables: Tables) -> Iterator[str]:
    """Which decoder serves ours best, as far as the points themselves say."""
    curves = [c for c in results.curves if c.variant == results.ours and c.decoder != study.config.slowest]
    if len(curves) < 2:
        return
    best = max(curves, key=lambda c: c.aup.mean.value)
    others = [c for c in curves if c is not best]
    clear = [c for c in others if best.aup.apart_from(c.aup)]
    listed = ", ".join(f"{tables.label(c.decoder)} {c.aup.mean.value:.0f}" for c in others)
    yield (
        f"{lineup.label(results.ours)} has its highest AUP under {tables.label(best.decoder)} "
        f"({best.aup.mean.value:.0f}; {listed}); its interval is apart from that of "
        + (", ".join(tables.label(c.decoder) for c in clear) if clear else "none of them")
        + "."
    )


def _facts(study: Study, results: StudyResults) -> Iterator[str]:
    seeds = ", ".join(map(str, results.seeds))
    yield (
        f"{len(results.variants) - 1} variants, {len(results.seeds)} training seeds ({seeds}), {len(results.decoders)} "
        f"decoders, {results.problems:,} problems of {results.task}; each variant was trained on {results.states:,} "
        f"states in {study.run.distill.max_steps:,} steps"
        + (", those of a further round beside what they begin from." if results.costs else ".")
    )


def _cautions(study: Study, results: StudyResults, lineup: Lineup, decoder: str) -> Iterator[str]:
    yield from _further_rounds(results, lineup)
    estimates = [
        _of(pair, measure)
        for pair in results.paired
        if pair.decoder == decoder
        for measure, _, _ in _COMPARED
    ]
    judged = [e for e in estimates if apart(e) is not None]
    if judged:
        clear = sum(bool(apart(e)) for e in judged)
        yield (
            f"{len(judged):,} paired differences were looked at under this decoder and {clear:,} of their intervals "
            f"exclude 0; were there no difference anywhere, about {max(1, round(len(judged) / 20)):,} would."
        )
    else:
        yield "No intervals were computed (evaluate.bootstrap: 0): any difference may be chance."
    if len(results.seeds) < FEW_SEEDS:
        which = "One training seed" if len(results.seeds) == 1 else f"{len(results.seeds)} training seeds"
        yield f"{which}: intervals say little of how another seed would move the numbers."
    else:
        yield (
            f"With {len(results.seeds)} seeds the part of an interval that comes from seeds is itself roughly known: a "
            "bootstrap over few seeds is too narrow rather than too wide."
        )
    if results.problems < FEW_PROBLEMS:
        yield f"Few problems ({results.problems}): intervals are wide and ranks unsure."
    if results.left_out:
        listed = ", ".join(lineup.label(name) for name in results.left_out)
        yield f"Not measured with every seed and decoder, and so left out: {listed}."
    stopped = [
        lineup.label(c.variant) for c in results.curves if c.decoder == decoder and None in c.aup_leaderboard
    ]
    if stopped:
        yield (
            "The leaderboard's code would stop at some seed, since the operating point is more than 5 points below "
            f"token by token: {', '.join(stopped)}."
        )


def _further_rounds(results: StudyResults, lineup: Lineup) -> Iterator[str]:
    """What was spent on a variant that begins from another one, whose cost is its own as well."""
    for cost in results.costs:
        if cost.round_of is None:
            continue
        taken = list(rounds_up_to(results.costs, cost.variant))
        yield (
            f"{lineup.label(cost.variant)} goes on from {lineup.label(cost.round_of)}: it is trained on "
            f"{cost.states:,} states after {sum(one.states for one in taken[1:]):,}, and for each seed "
            f"{over_seeds(cost.rolled_out)} trajectories were rolled out after the "
            f"{over_seeds(*(one.rolled_out for one in taken[1:]))} that came before. Held against a variant of fewer "
            "rounds it is not at equal cost."
        )


def _of(pair: Paired, measure: str) -> Estimate:
    found: Estimate = getattr(pair, measure).mean
    return found


def _differences(pair: Paired) -> str:
    return ", ".join(
        _difference(_of(pair, measure), measure, unit, digits) for measure, unit, digits in _COMPARED
    )


def _difference(found: Estimate, measure: str, unit: str, digits: int) -> str:
    text = f"{_NAMES[measure]} {signed_estimate(found, digits)}{unit}"
    return text if apart(found) is not False else f"{text}, which is not told apart from none"
