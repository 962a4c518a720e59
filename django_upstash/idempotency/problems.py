"""The responses to requests that are neither executed nor replayed: problem details (RFC 9457)."""

from __future__ import annotations

import json
from http import HTTPStatus

from django.http import HttpResponse

CONTENT_TYPE = "application/problem+json"


class Problem(HttpResponse):
    """One problem: a status, ``code`` for programs, and one sentence for people."""

    def __init__(self, status: HTTPStatus, code: str, detail: str, retry_after: int | None = None) -> None:
        document = {"title": status.phrase, "status": status.value, "code": code, "detail": detail}
        super().__init__(json.dumps(document), content_type=CONTENT_TYPE, status=status)
        self.headers["Cache-Control"] = "no-store"
        if retry_after is not None:
            self.headers["Retry-After"] = str(retry_after)


def missing() -> Problem:
    detail = "This operation needs the header Idempotency-Key, with a string that is new for each operation."
    return Problem(HTTPStatus.BAD_REQUEST, "idempotency_key_missing", detail)


def malformed(detail: str) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, "idempotency_key_malformed", detail)


def in_progress(retry_after: int) -> Problem:
    detail = (
        "A request with this Idempotency-Key is being processed, or was cut off and its outcome is unknown; ask again "
        "for its response."
    )
    return Problem(HTTPStatus.CONFLICT, "idempotency_key_in_progress", detail, retry_after)


def outcome_unknown(retry_after: int) -> Problem:
    detail = (
        "The request with this Idempotency-Key was cut off when the server stopped, and its outcome is unknown; look "
        "whether it has taken effect before you ask for it again."
    )
    return Problem(HTTPStatus.CONFLICT, "idempotency_outcome_unknown", detail, retry_after)


def not_acceptable(coding: str) -> Problem:
    detail = f"The response to the request with this Idempotency-Key is there in the encoding {coding} only."
    return Problem(HTTPStatus.NOT_ACCEPTABLE, "idempotency_encoding_not_accepted", detail)


def not_kept() -> Problem:
    detail = "The request with this Idempotency-Key has been processed, and its response was not kept."
    return Problem(HTTPStatus.CONFLICT, "idempotency_response_not_kept", detail)


def conflict() -> Problem:
    detail = "This Idempotency-Key has been used for another request; use a new one for each operation."
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "idempotency_key_reused", detail)


def unavailable(retry_after: int) -> Problem:
    detail = "Whether this request has been processed before cannot be told at the moment; ask again."
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "idempotency_unavailable", detail, retry_after)
