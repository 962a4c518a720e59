#!/usr/bin/env bash
# uvloop is a drop-in replacement for asyncio's loop, but what its create_connection gives a protocol is an instance of
# no class of asyncio: `isinstance(transport, asyncio.Transport)` is False, for TCP and for TLS. Code that narrows the type by
# isinstance or assert works with asyncio, in its tests, and fails under uvicorn[standard].
# Seen in: uvloop 0.23.0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -qq --disable-pip-version-check uvloop==0.23.0
cat >look.py <<'PY'
import asyncio, uvloop
async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
    transport, _ = await loop.create_connection(asyncio.Protocol, *server.sockets[0].getsockname())
    found = [isinstance(transport, kind) for kind in (asyncio.Transport, asyncio.BaseTransport)]
    transport.abort(); server.close()
    return found
print("asyncio:", asyncio.run(main()))
print("uvloop:", uvloop.run(main()))
PY
venv/bin/python look.py | tee seen
diff seen - <<'END'
asyncio: [True, True]
uvloop: [False, False]
END
