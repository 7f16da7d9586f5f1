"""Versions of what several stages share: a component that gives other output makes every key that depends on it new.

A stage's own ``STAGE_VERSION`` speaks for what the stage alone does. What it shares with others has its version here,
and ``component_fields`` says which of them enter the key of a stage. Version 1 enters nothing: it is what there was
before the component had a number, so that artifacts made then stay good.

``tests/tad_core/test_components.py`` holds the output of each component, and fails when one changes while its version
does not.
"""

from __future__ import annotations

from typing import Any, Literal

Component = Literal[
    "prompts",
    "responses",
    "references",
    "rollout",
    "tables",
    "decoder",
    "verifier",
    "programs",
    "records",
    "scores",
]

VERSIONS: dict[Component, int] = {
    # the text and the tokens of every prompt: student's, privileged, system turn, benchmarks'
    "prompts": 1,
    # what of a response is its text: 2 cuts at the end of a turn too
    "responses": 2,
    # references as responses: 2 ends them as the family ends its turn
    "references": 2,
    # the teacher's reveals and their noise
    "rollout": 1,
    # the columns of trajectories and verdicts
    "tables": 1,
    # token by token and entropy multi-block: 2 reveals the lowest of all blocks where nothing passes, and counts the
    # mask token in the entropy
    "decoder": 2,
    # the verdict on an answer: 2 reads mathematics without a lossy normalisation, and more kinds of tests; 3 passes no
    # answer that leaves another one open, and judges a text whole that only spells an end; 4 takes no right program for
    # one that crashed; 5 lets CPU time decide what takes too long; 6 reads more notations and ends of texts, and passes
    # over stubs; 7 takes the one number of a sentence for the number that is asked for; 8 takes no answer that is
    # denied, and no digits with space between them for one number; 9 takes no part of a sum that was cut off;
    # 10 compares roots of variables where they are real, and takes money without what it is for; 11 takes no quotient
    # by zero for another one, works derivatives and common divisors out, and reads more ways to say one value; 12 takes
    # 2:3 for 2/3, adds sums up term by term, reads values and sets in prose whole, takes no bound and no wrong sum for
    # a value, and finds programs that are indented as a whole; 13 goes on to another value only where it is whole, and
    # reads the minus sign and complex numbers in prose; 14 reads the formula in prose that a number is part of, takes a
    # wrong sum there for no value, and 5 million for 5000000; 15 reads answers without digits in the last sentence,
    # remainders, and closed forms with their decimal, takes no end of a range for a value, 5 dozen for 60 and a method
    # for the function that is asked for, and goes on behind a statement of a program that fails; 16 leaves out what a
    # question gives and a last sentence says again, reasons, lists and thoughts, reads powers that are fractions and
    # per cent in sums, takes tuples of names in their usual order, no degrees with digits behind them for a number, and
    # no view for a list; 17 takes programs in which the end of a thought is a text; 18 judges
    # the answer to the first problem of a text alone, takes none that is taken back or said to be another number, reads
    # tuples and bases as the question has them, and leaves out parts in brackets and what a value is measured by;
    # 19 takes no box behind which the answer is said to be another and no root of nothing, and of programs that of
    # the first turn; 20 takes a minus before a box at the beginning of a sentence for its sign; 21 cuts no text behind
    # "$5/user" and no name in a program, and reads an answer that is said again in another unit
    "verifier": 21,
    # the program in an answer to a benchmark of code: 2 keeps whatever sets a name that is needed; 3 takes bodies of
    # any indentation and leaves out imports that nothing needs; 4 takes a body with other code behind it;
    # 5 leaves out a head that is repeated at the end of a text; 6 takes programs that are indented as a whole; 7 takes
    # those between prose that begins or ends as Python does, or in tags; 8 takes methods for functions,
    # and leaves out prompts and line numbers; 9 leaves out thoughts, and takes programs behind words of their first
    # line, classes that grow from block to block, and what is called the whole or the right code; 10 takes those in
    # which the end of a thought is a text; 11 takes that of the first turn; 12 cuts no name and no comment
    "programs": 12,
    # the columns and figures of an evaluation: 2 counts full forwards and computed tokens; 3 keeps reasons
    "records": 3,
    # AUP, intervals, comparisons: 2 takes the leaderboard's points of equal speed as they are given
    "scores": 2,
}

USED: dict[str, tuple[Component, ...]] = {
    # The text in a trajectory is cut when it is judged, so that a new cut does not cost a collection.
    "collect": ("prompts", "rollout", "tables"),
    "filter": ("responses", "verifier", "tables"),
    "calibrate": ("responses",),
    "distill": (),
    "distill system": ("prompts",),
    "distill sft": ("prompts", "references"),
    "distill labels": ("references",),
    # What was decoded is judged when the evaluation is put together, so that a new verdict does not cost a decoding.
    "decode": ("prompts", "decoder"),
    "evaluate": ("prompts", "responses", "decoder", "verifier", "programs", "records"),
    "measure": ("prompts", "responses", "decoder", "verifier", "programs", "records"),
    "report": ("scores",),
    "replicate": ("scores",),
    "study": ("scores",),
}
"""Components of each key. ``distill sft`` fine-tunes on references, ``distill labels`` takes the labels of
trajectories from them, and the teacher of ``distill system`` reads them."""


def component_fields(stage: str) -> dict[str, Any]:
    """What the components add to the fields of a stage's fingerprint: nothing while all are at version 1."""
    raised = {name: VERSIONS[name] for name in USED[stage] if VERSIONS[name] > 1}
    return {"components": raised} if raised else {}
