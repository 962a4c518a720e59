"""What the server tells about itself and takes orders for, under ``/_local``: its meter and its faults."""

from __future__ import annotations

import json

from django_upstash.dev_server.encoding import to_json
from django_upstash.dev_server.faults import Faults, make_fault
from django_upstash.dev_server.messages import Request, Response
from django_upstash.dev_server.meter import Meter

_DONE = to_json({"result": "OK"})
_METHODS = {"/_local/meter": "GET", "/_local/meter/reset": "POST", "/_local/faults": "POST, DELETE"}


def control(request: Request, meter: Meter, faults: Faults) -> Response:
    """Answer a request to a path under ``/_local``."""
    path = request.path.decode("latin-1")
    allowed = _METHODS.get(path)
    if allowed is None:
        return Response.error(404, f"ERR there is nothing here; try {', '.join(_METHODS)}")
    if request.method not in allowed.split(", "):
        return Response(405, headers={"Allow": allowed})
    if path == "/_local/meter":
        return Response(200, to_json(meter.snapshot()))
    if path == "/_local/meter/reset":
        meter.reset()
    elif request.method == "DELETE":
        faults.clear()
    else:
        return _add_faults(request, faults)
    return Response(200, _DONE)


def _add_faults(request: Request, faults: Faults) -> Response:
    try:
        given = json.loads(request.body)
        faults.add([make_fault(fault) for fault in (given if isinstance(given, list) else [given])])
    except RecursionError:
        return Response.error(400, "ERR the request body is not valid JSON")
    except ValueError as error:
        return Response.error(400, f"ERR {error}")
    return Response(200, _DONE)
