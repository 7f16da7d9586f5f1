"""``python -m tests.drills.hosts CONFIG``: a collection by the library alone, as one host of several sees it."""

from __future__ import annotations

import sys

import yaml

from tad_core.artifacts import Store
from tad_core.config import parse_config
from tad_core.stages.collect import collect
from tad_core.workers import pool
from tests.drills.fake_worker import without_tokenizer

pool.MODULE = "tests.drills.fake_worker"
without_tokenizer()

if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:  # noqa: PTH123
        config = parse_config(yaml.safe_load(file))
    print(collect(config, Store(config.store)).url, flush=True)
