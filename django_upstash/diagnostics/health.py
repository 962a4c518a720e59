"""
The checks of one connection, each a few round trips at most.

A check takes a ``Probe`` and yields results. What the wire raises ends the check as a failure with its cause, and where
the server cannot be reached, the checks after it too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, TypeAlias

from django.utils.module_loading import import_string

from django_upstash import exceptions
from django_upstash.diagnostics import selftest
from django_upstash.diagnostics.diagnosis import Diagnosis, diagnose
from django_upstash.diagnostics.formatting import counted, milliseconds
from django_upstash.diagnostics.probe import HealthPlan, Probe
from django_upstash.diagnostics.report import CheckResult, Latency, Status
from django_upstash.diagnostics.server import server_info
from django_upstash.diagnostics.server_checks import connections, eviction, introduction, keys, memory
from django_upstash.features import features
from django_upstash.operations import command
from django_upstash.settings import hosts

if TYPE_CHECKING:
    pass


SLOW_MS = 100.0
_READ_ONLY = Diagnosis(
    "This {credentials} is right and read-only: it may read but not write.",
    "Use the standard one; where reading is all that the site does, run redis_health --read-only.",
)

_NO_EVENTS = "Pub/sub needs another server or the native route; nothing else here does."
_WITHOUT_SCRIPTS = (
    "Allow +@scripting and +time, or use the standard token: rate limits are not counted on the server without them, "
    "and queues, breakers and locks with fencing numbers do not work."
)


Check: TypeAlias = Callable[[Probe], Iterator[CheckResult]]


def examine(probe: Probe) -> None:
    """Run the checks that the plan asks for, adding their results to the probe's report."""
    for name, check in _checks(probe.plan):
        if not probe.is_reachable:
            return
        probe.check = name
        if probe.has_time:
            _run(probe, check)
        else:
            message = f"Not run: the {probe.plan.timeout:g} s are used up."
            probe.report.checks.append(probe.result(Status.WARN, message, "Allow more with --timeout."))


def _checks(plan: HealthPlan) -> Iterator[tuple[str, Check]]:
    yield "connect", connect
    if plan.ping_only:
        return
    yield "encryption", encryption
    if plan.pings > 1:
        yield "latency", latency
    if not plan.read_only:
        yield "write/read", write_read_delete
    yield "scripts", scripts
    if not plan.read_only:
        yield "large value", large_value
        yield "events", events
    yield "server", server


def _run(probe: Probe, check: Check) -> None:
    add = probe.report.checks.append
    try:
        for result in check(probe):
            add(result)
    except (exceptions.UpstashError, OSError) as error:
        probe.is_reachable = isinstance(error, exceptions.ResponseError | exceptions.DataError)
        add(probe.failed(diagnose(error, probe.settings)))


def connect(probe: Probe) -> Iterator[CheckResult]:
    """Open the connection with a PING."""
    answer, probe.report.connect_ms = probe.timed(command("PING"))
    if answer == b"PONG":
        yield probe.ok("PING", probe.report.connect_ms)
    else:
        probe.is_reachable = False
        yield probe.failed(Diagnosis("What answers a PING with something else is not Redis.", "Correct the URL."))


def latency(probe: Probe) -> Iterator[CheckResult]:
    """Measure round trips on the open connection, in at most half of the time that is left."""
    until = (monotonic() + probe.deadline) / 2
    times: list[float] = []
    while len(times) < probe.plan.pings - 1 and (not times or monotonic() < until):
        times.append(probe.timed(command("PING"))[1])
    probe.report.latency = found = Latency.of(times)
    message = f"median {milliseconds(found.median)}, p95 {milliseconds(found.p95)} of {counted(found.count, 'PING')}"
    if found.median <= SLOW_MS:
        yield probe.ok(f"min {milliseconds(found.min)}, {message}")
    else:
        yield probe.result(Status.WARN, f"Slow: {message}.", "Put site and database into the same region.")


def write_read_delete(probe: Probe) -> Iterator[CheckResult]:
    """Write, read and delete a string, a hash and a list."""
    outcome, taken = probe.timed(selftest.write_read_delete(selftest.new_name()))
    probe.may_write = outcome.has_written
    if outcome.refused:
        yield probe.failed(_refused(outcome, probe))
    elif outcome.different:
        message = f"What was written came back different: {', '.join(outcome.different)}."
        yield probe.failed(Diagnosis(message, "Look for a proxy or a server that is not Redis on the way."))
    else:
        yield probe.ok("strings, hashes, lists", taken)


def _refused(outcome: selftest.SelfTestOutcome, probe: Probe) -> Diagnosis:
    error = outcome.refused[0]
    diagnosis = diagnose(error, probe.settings)
    if not isinstance(error, exceptions.NoPermissionError):
        return diagnosis
    if "command" not in str(error):
        return Diagnosis(
            diagnosis.cause, f"Allow it ~{selftest.beginning()}* as well, or run redis_health --read-only."
        )
    if outcome.has_written:
        return diagnosis
    credentials = "token" if probe.settings.route == "rest" else "user"
    return Diagnosis(_READ_ONLY.cause.format(credentials=credentials), _READ_ONLY.next_step)


def scripts(probe: Probe) -> Iterator[CheckResult]:
    """Run a script that declares a key, as those of the cache, the limits and the locks do."""
    if not probe.may_write:
        return  # who may not write may not run scripts either
    operation = selftest.run_script(probe.connection.capabilities, selftest.new_name())
    try:
        _, taken = probe.timed(operation)
    except exceptions.NoPermissionError as error:
        yield probe.failed(Diagnosis(diagnose(error, probe.settings).cause, _WITHOUT_SCRIPTS))
        return
    probe.scripted += 1
    locking = " with key locking" if probe.connection.capabilities.key_locking else ""
    yield probe.ok(f"Lua{locking}", taken)


def large_value(probe: Probe) -> Iterator[CheckResult]:
    """See over REST that 2 KB which are no text arrive, and that integers are exact above 2**53."""
    if not probe.may_write or probe.settings.route != "rest":
        return
    name = selftest.new_name()
    _, taken = probe.timed(selftest.write_large(name))
    outcome, _ = probe.timed(selftest.read_large_and_count(name))
    if "large" in outcome.different:
        message = "2 KB of bytes that are no text came back different."
        yield probe.failed(Diagnosis(message, "Look for a proxy or a server that is not Upstash's on the way."))
    elif "integer" in outcome.different:
        message = "Integers above 2^53 come back rounded: the server passes them through a double."
        yield probe.failed(Diagnosis(message, "Count below that here, or use the native route."), Status.WARN)
    else:
        yield probe.ok("2 KB of bytes, integers above 2^53", taken)


def events(probe: Probe) -> Iterator[CheckResult]:
    """See over REST that a message comes by an event stream, as pub/sub needs it."""
    tests = [import_string(feature.stream_test) for feature in features() if feature.stream_test]
    if not tests or not probe.may_write or probe.settings.route != "rest":
        return
    started = perf_counter()
    try:
        is_heard = asyncio.run(tests[0](probe.connection, selftest.new_name()))
    except exceptions.UpstashError as error:
        yield probe.failed(Diagnosis(str(error), _NO_EVENTS), Status.WARN)
        return
    probe.streams += 1
    taken = (perf_counter() - started) * 1000
    if is_heard:
        yield probe.ok("a message by /subscribe", taken)
    else:
        yield probe.failed(Diagnosis("A message did not come by /subscribe.", _NO_EVENTS), Status.WARN)


def server(probe: Probe) -> Iterator[CheckResult]:
    """Ask the server about itself."""
    try:
        info, taken = probe.timed(server_info(probe.settings.database))
    except (exceptions.NoPermissionError, exceptions.UnknownCommandError) as error:
        yield probe.failed(diagnose(error, probe.settings), Status.WARN)
        return
    probe.report.server = info
    yield probe.ok(introduction(info), taken)
    for name, check in (("memory", memory), ("eviction", eviction), ("keys", keys), ("connections", connections)):
        probe.check = name
        yield check(probe, info)


def encryption(probe: Probe) -> Iterator[CheckResult]:
    """Tell who could listen on the way; nothing is sent."""
    settings = probe.settings
    host = settings.parts.hostname
    if settings.scheme in ("rediss", "https"):
        yield _tls(probe)
    elif settings.scheme in ("unix", "embedded") or hosts.is_loopback(host):
        yield probe.ok("none needed: the server is on this machine")
    elif hosts.is_private(host or ""):
        yield probe.ok("none, in a private network")
    else:
        cause, next_step = "None: password and data travel in the clear.", "Write rediss:// or https://."
        yield probe.result(Status.WARN, cause, next_step, id="django_upstash.W007")


def _tls(probe: Probe) -> CheckResult:
    if probe.settings.verify_tls:
        return probe.ok("TLS, certificate verified")
    cause = "TLS, but the certificate is not verified: an attacker in the middle can read everything."
    return probe.result(
        Status.WARN, cause, "Leave VERIFY_TLS out; a private authority goes into CA_CERTS.", id="django_upstash.W006"
    )
