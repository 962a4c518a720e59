"""What the server tells about itself and takes orders for, under ``/_local``: its meter and its faults."""

from __future__ import annotations

import json

from django_upstash.dev_server.encoding import to_json
from django_upstash.dev_server.faults import Faults, make_fault
from django_upstash.dev_server.messages import ServerRequest, ServerResponse
from django_upstash.dev_server.meter import ServerMeter

_DONE = to_json({"result": "OK"})
_METHODS = {"/_local/meter": "GET", "/_local/meter/reset": "POST", "/_local/faults": "POST, DELETE"}


def control(request: ServerRequest, meter: ServerMeter, faults: Faults) -> ServerResponse:
    """Answer a request to a path under ``/_local``."""
    path = request.path.decode("latin-1")
    allowed = _METHODS.get(path)
    if allowed is None:
        return ServerResponse.error(404, f"ERR there is nothing here; try {', '.join(_METHODS)}")
    if request.method not in allowed.split(", "):
        return ServerResponse(405, headers={"Allow": allowed})
    if path == "/_local/meter":
        return ServerResponse(200, to_json(meter.snapshot()))
    if path == "/_local/meter/reset":
        meter.reset()
    elif request.method == "DELETE":
        faults.clear()
    else:
        return _add_faults(request, faults)
    return ServerResponse(200, _DONE)


def _add_faults(request: ServerRequest, faults: Faults) -> ServerResponse:
    try:
        given = json.loads(request.body)
        faults.add([make_fault(fault) for fault in (given if isinstance(given, list) else [given])])
    except RecursionError:
        return ServerResponse.error(400, "ERR the request body is not valid JSON")
    except ValueError as error:
        return ServerResponse.error(400, f"ERR {error}")
    return ServerResponse(200, _DONE)
