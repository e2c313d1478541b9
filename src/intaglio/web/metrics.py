"""What the server counts, for Prometheus: `GET /metrics`.

Numbers that something else knows (the queue, the worker, the journal) are asked for when they are read, not kept here.
"""

from __future__ import annotations

import logging
import platform
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from threading import Lock

import prometheus_client as prometheus
from fastapi import FastAPI
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from intaglio.core.errors import IntaglioError

_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
# Whatever is asked for, there are no more label values than routes, methods and statuses there are.
_OTHER = "other"
_ENDED = ("waiting", "done", "failed", "cancelled", "interrupted")
_MOST_RUNNING = 1000
_PAGE = 500

_log = logging.getLogger("intaglio.web")


class Metrics:
    """The numbers of one server."""

    def __init__(self) -> None:
        # Else there is a second number for each, which says when it began.
        prometheus.disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = prometheus.CollectorRegistry()
        prometheus.ProcessCollector(registry=self.registry)
        self._requests = prometheus.Counter(
            "intaglio_http_requests",
            "Requests, by method, template of the route and status.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._seconds = prometheus.Histogram(
            "intaglio_http_request_seconds",
            "Time to answer; of a stream, to begin.",
            ("method", "route"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._received = prometheus.Counter(
            "intaglio_http_received_bytes", "Bytes of requests' bodies.", registry=self.registry
        )
        build = prometheus.Gauge(
            "intaglio_build_info", "What runs; always 1.", ("version", "python"), registry=self.registry
        )
        build.labels(version("intaglio"), platform.python_version()).set(1)

    def request(self, method: str, route: str, status: int, seconds: float, received: int) -> None:
        """Count a request that was answered; `route` is the template of its path, "" when no route took it."""
        method = method if method in _METHODS else _OTHER
        self._requests.labels(method, route or _OTHER, str(status)).inc()
        self._seconds.labels(method, route or _OTHER).observe(seconds)
        self._received.inc(received)

    def ask(self, source: Callable[[], Iterable[Metric]]) -> None:
        """Have `source` give its numbers whenever these are read."""
        self.registry.register(_Source(source))

    def written(self) -> bytes:
        """All numbers in Prometheus' text format. Blocks for as long as the sources do."""
        return prometheus.generate_latest(self.registry)


class _Source(prometheus.registry.Collector):
    def __init__(self, source: Callable[[], Iterable[Metric]]) -> None:
        self._source = source

    def describe(self) -> Iterable[Metric]:
        """Nothing: what it gives is not asked for when it is registered."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """What there is now."""
        return self._source()


class Library:
    """The numbers that the library, the worker and the webhooks of an app know."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._ended: Counter[str] = Counter(dict.fromkeys(_ENDED, 0))
        self._lock = Lock()
        # What ended before is not counted, whenever the numbers are first asked for.
        self._seen: int = app.state.studio.parts.journal.last()

    def numbers(self) -> Iterator[Metric]:
        """All of them, as they are now. Reads the library."""
        state = self._app.state
        hub, supervisor = getattr(state, "hub", None), getattr(state, "supervisor", None)
        yield _gauge("event_streams", "Streams of events that are open.", hub.streams if hub else 0)
        if supervisor is not None:
            yield _gauge("worker_alive", "Whether the worker lives.", bool(supervisor.alive))
            yield _counter("worker_restarts", "How often the worker died and was started again.", supervisor.restarts)
        try:
            yield from [*self._work(), *self._webhooks()]
            yield _gauge("library_readable", "Whether the library's database answers.", 1)
        except IntaglioError as error:
            _log.error("the library cannot be read: %s", error)
            yield _gauge("library_readable", "Whether the library's database answers.", 0)

    def _work(self) -> Iterator[Metric]:
        parts = self._app.state.studio.parts
        yield _gauge("queue_length", "Tasks and jobs that wait for a worker.", parts.queue.count())
        running = [("task", len(parts.tasks.list(limit=_MOST_RUNNING, status="running")))]
        running.append(("job", len(parts.jobs.list(limit=_MOST_RUNNING, status="running"))))
        yield _labelled(GaugeMetricFamily, "running", "Tasks and jobs that are being carried out.", "what", running)
        yield _gauge("journal_number", "Number of the last line of the journal.", parts.journal.last())
        ended = sorted(self._count_ended().items())
        yield _labelled(CounterMetricFamily, "tasks_ended", "Tasks that ended since the server began.", "status", ended)

    def _count_ended(self) -> Counter[str]:
        journal = self._app.state.studio.parts.journal
        with self._lock:
            last, words = journal.last(), [f"task.{status}" for status in _ENDED]
            while page := journal.list(self._seen, _PAGE, None, words):
                self._ended.update(notice.what.removeprefix("task.") for notice in page)
                self._seen = page[-1].number
            # Lines of anything else are not looked through again.
            self._seen = max(self._seen, last)
            return Counter(self._ended)

    def _webhooks(self) -> Iterator[Metric]:
        hooks = self._app.state.studio.webhooks.list()
        teller = getattr(self._app.state, "teller", None)
        for name, text, values in (
            ("webhook_waiting", "Lines a webhook is yet to be told.", [(hook.id, hook.waiting) for hook in hooks]),
            ("webhook_failures", "How often it refused in a row.", [(hook.id, hook.failures) for hook in hooks]),
            ("webhook_paused", "Whether it is paused.", [(hook.id, bool(hook.paused)) for hook in hooks]),
        ):
            yield _labelled(GaugeMetricFamily, name, text, "webhook", values)
        if teller is not None:
            told = sum(teller.taken.values())
            yield _counter("webhook_taken", "Lines that webhooks took since the server began.", told)
            refused = sum(teller.refused.values())
            yield _counter("webhook_refused", "Lines that webhooks refused since the server began.", refused)


def install(app: FastAPI) -> None:
    """Count what `app` does, from now on; `app.state.metrics` has the numbers."""
    app.state.metrics = Metrics()
    app.state.metrics.ask(Library(app).numbers)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"intaglio_{name}", text, value=value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"intaglio_{name}", text, value=value)


def _labelled(
    family: type[GaugeMetricFamily] | type[CounterMetricFamily],
    name: str,
    text: str,
    label: str,
    values: Iterable[tuple[str, float]],
) -> Metric:
    """One number for each value of a label."""
    made = family(f"intaglio_{name}", text, labels=(label,))
    for word, value in values:
        made.add_metric((word,), value)
    return made
