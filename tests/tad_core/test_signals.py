from __future__ import annotations

import signal

import pytest

from tad_core.signals import take_over


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGTERM])
def test_what_is_ignored_is_not_taken_over(number: signal.Signals) -> None:
    def handler(*_: object) -> None:
        pass

    before = signal.getsignal(number)
    try:
        signal.signal(number, signal.SIG_IGN)
        assert take_over(number, handler) is False
        assert signal.getsignal(number) is signal.SIG_IGN
        signal.signal(number, signal.SIG_DFL)
        assert take_over(number, handler) is True
        assert signal.getsignal(number) is handler
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("ignored", [signal.SIGINT, signal.SIGTERM])
def test_training_hears_of_what_is_not_ignored(ignored: signal.Signals) -> None:
    from tad_core.training.recorder import StopRequest

    both = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in both}
    stop = StopRequest()
    stop.running = True
    try:
        for number in both:
            signal.signal(number, signal.SIG_IGN if number == ignored else signal.SIG_DFL)
        stop.install()
        signal.raise_signal(ignored)
        assert not stop.wanted
        signal.raise_signal(next(number for number in both if number != ignored))
        assert stop.wanted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
