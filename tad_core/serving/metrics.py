"""What Prometheus reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from tad_core.serving.answers import Took

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)


class Metrics:
    """Counters of one server."""

    def __init__(self, open_: Callable[[], int], running: Callable[[], int]) -> None:
        """Nothing was served yet.

        Args:
            open_: responses that wait or are decoded.
            running: responses that hold a slot.
        """
        self._registry = CollectorRegistry()
        kept = self._registry
        self._requests = Counter(
            "tad_requests", "Answered requests.", ["route", "model", "status"], registry=kept
        )
        self._tokens = Counter("tad_text_tokens", "Tokens of the texts sent.", ["model"], registry=kept)
        self._revealed = Counter(
            "tad_revealed_tokens", "Tokens revealed by forwards.", ["model"], registry=kept
        )
        self._forwards = Counter(
            "tad_forwards", "Forwards, counted for each response.", ["model"], registry=kept
        )
        self._seconds = Histogram(
            "tad_request_seconds",
            "From a request to its last word.",
            ["model"],
            buckets=_SECONDS,
            registry=kept,
        )
        self._first = Histogram(
            "tad_first_block_seconds",
            "From a request to its first block.",
            ["model"],
            buckets=_SECONDS,
            registry=kept,
        )
        Gauge("tad_open_responses", "Waiting or decoded now.", registry=kept).set_function(open_)
        Gauge("tad_running_responses", "Decoded now.", registry=kept).set_function(running)

    def request(self, route: str, model: str, status: int) -> None:
        """An answer went out; ``model`` is the name of a served one, or empty."""
        self._requests.labels(route, model, str(status)).inc()

    def first_block(self, model: str, seconds: float) -> None:
        """The first text of a request."""
        self._first.labels(model).observe(seconds)

    def answered(self, model: str, took: Sequence[Took], tokens: Sequence[int], seconds: float) -> None:
        """A request is through."""
        self._tokens.labels(model).inc(sum(tokens))
        self.worked(model, took)
        self._seconds.labels(model).observe(seconds)

    def worked(self, model: str, took: Sequence[Took]) -> None:
        """What a request took, whether anybody got an answer to it or not."""
        self._revealed.labels(model).inc(sum(t.revealed for t in took))
        self._forwards.labels(model).inc(sum(t.forwards for t in took))

    def text(self) -> bytes:
        """In Prometheus' format."""
        return generate_latest(self._registry)
