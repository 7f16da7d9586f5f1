"""A remote store that does not answer a worker, whose words reach nobody but as its last lines."""

from __future__ import annotations

import re

import pytest

from tad_core.artifacts import Store
from tad_core.config import TADConfig
from tad_core.errors import SubprocessError
from tad_core.training.command import free_port
from tad_core.workers.jobs import ShardJob
from tad_core.workers.nursery import Nursery
from tad_core.workers.pool import Pool


def test_it_is_one_error_with_its_url_and_the_worker_lives_on(
    config: TADConfig, warm_nursery: Nursery
) -> None:
    store = Store(f"http://127.0.0.1:{free_port()}/store")  # nobody listens
    said = rf"^store: {re.escape(store.root)}/\S+ cannot be reached or refuses \([^\n]+\); [^\n]+ again$"
    lines: list[str] = []
    with Pool(config.model, nursery=warm_nursery, on_line=lines.append) as pool:
        for _ in range(2):
            with pytest.raises(SubprocessError, match=said):
                pool.run(ShardJob(config, store, ("privileged", 0, 3)))
    assert not any("Traceback" in line for line in lines)
