from __future__ import annotations

import logging

import pytest

from tasks.logs import forward_lines


def test_every_nth_line_and_alarms_arrive_in_order_and_bounded(caplog: pytest.LogCaptureFixture) -> None:
    forward = forward_lines(every=10, most=3)
    with caplog.at_level(logging.INFO, logger="tasks.logs"):
        for i in range(100):
            forward(f"step {i} finance" + (" CUDA out of memory" if i in (5, 7) or i > 90 else ""))
    told = [record.getMessage() for record in caplog.records]
    wanted = {0, 5, 7, 10, 20, 30, 40, 50, 60, 70, 80, 90, 91}
    assert [line.split()[1] for line in told if line.startswith("step")] == [str(i) for i in sorted(wanted)]
    assert sum(record.levelno == logging.WARNING for record in caplog.records) == 4
    assert told[-1].startswith("3 alarming lines so far")
