"""What shows an exception to people: Django's debug page and mails, Sentry's events, logs, tracebacks with locals."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import sentry_sdk
from django.test import RequestFactory, override_settings
from django.utils.log import AdminEmailHandler
from django.views.debug import technical_500_response
from sentry_sdk.envelope import Envelope
from sentry_sdk.scrubber import EventScrubber
from sentry_sdk.transport import Transport
from sentry_sdk.utils import event_from_exception


class _Kept(Transport):
    """A transport that keeps what it is given."""

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self.envelopes: list[Envelope] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self.envelopes.append(envelope)


class _Mails(AdminEmailHandler):
    """Django's handler, whose mails are kept."""

    def __init__(self) -> None:
        super().__init__(include_html=True)
        self.sent: list[str] = []

    def send_mail(self, subject: Any, message: Any, *args: Any, **kwargs: Any) -> None:
        self.sent += [subject, message, kwargs["html_message"]]


def debug_pages(error: BaseException) -> Iterator[str]:
    info = (type(error), error, error.__traceback__)
    with override_settings(DEBUG=True):
        for accepted in ("text/html", "text/plain"):
            request = RequestFactory().get("/page/", headers={"accept": accepted})
            yield technical_500_response(request, *info).content.decode()


def mails(error: BaseException) -> Iterator[str]:
    handler = _Mails()
    request = RequestFactory().get("/page/")
    record = logging.LogRecord("django.request", logging.ERROR, __file__, 1, "Failed", (), _info(error))
    record.request = request
    with override_settings(DEBUG=False, ADMINS=[("Admin", "admin@example.com")]):
        handler.emit(record)
    yield from handler.sent


def events(error: BaseException) -> Iterator[str]:
    transport = _Kept()
    client = sentry_sdk.Client(
        dsn="https://public@sentry.example.com/1",
        transport=transport,
        include_local_variables=True,
        max_value_length=1_000_000,
        event_scrubber=EventScrubber(denylist=[], pii_denylist=[]),
        default_integrations=False,
        auto_enabling_integrations=False,
    )
    event, hint = event_from_exception(_info(error), client_options=client.options)
    client.capture_event(event, hint)
    assert transport.envelopes
    for envelope in transport.envelopes:
        yield envelope.serialize().decode()


def tracebacks(error: BaseException) -> Iterator[str]:
    """Yield what every exception of the chain shows with the variables of its frames, those left out of reports too."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        waiting += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]
        yield f"{one!r} {one} {one.args!r}"
        stack = traceback.walk_tb(one.__traceback__)
        yield "".join(traceback.StackSummary.extract(stack, capture_locals=True).format())


Reporter: TypeAlias = Callable[[BaseException], Iterator[str]]
REPORTERS: tuple[Reporter, ...] = (tracebacks, debug_pages, mails, events)


def _info(error: BaseException) -> Any:
    return type(error), error, error.__traceback__


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.lines += [self.format(record), repr(vars(record))]
        if record.exc_info and record.exc_info[1] is not None:
            self.lines += tracebacks(record.exc_info[1])


@contextmanager
def logged() -> Iterator[list[str]]:
    """Collect what every logger says at DEBUG, with the variables of the exceptions that it says it about."""
    handler = _Lines()
    names = ("", "redis", "upstash_redis", "httpx", "httpcore", "asyncio", "django", "django_upstash")
    levels = {name: logging.getLogger(name).level for name in names}
    unraisable, sys.unraisablehook = sys.unraisablehook, lambda args: handler.lines.append(repr(args))
    logging.getLogger().addHandler(handler)
    for name in names:
        logging.getLogger(name).setLevel(logging.DEBUG)
    try:
        yield handler.lines
    finally:
        sys.unraisablehook = unraisable
        logging.getLogger().removeHandler(handler)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
