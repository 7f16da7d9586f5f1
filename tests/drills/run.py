"""``python -m tests.drills.run WORDS…``: the ``tad`` command with ``fake_worker`` in the place of real workers."""

from __future__ import annotations

from tad_core.workers import pool
from tests.drills.fake_worker import without_tokenizer

pool.MODULE = "tests.drills.fake_worker"
without_tokenizer()

if __name__ == "__main__":
    from flows.cli import main

    main()
