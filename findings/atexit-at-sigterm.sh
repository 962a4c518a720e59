#!/usr/bin/env bash
# Which servers run `atexit` functions when they are stopped by SIGTERM, as every platform stops them. uvicorn ends its
# graceful shutdown by raising the signal again with its default action, and granian's workers end by os._exit, so
# what a library flushes at exit is lost there. daphne and hypercorn run them.
# Seen in: uvicorn 0.54.0, granian 2.8.9, hypercorn 0.18.0, daphne 4.2.3.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -qq --disable-pip-version-check uvicorn==0.54.0 granian==2.8.9 hypercorn==0.18.0 daphne==4.2.3
cat >app.py <<'PY'
import atexit, os, pathlib
async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown": return
    atexit.register(pathlib.Path("flushed").touch)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})
PY
port() { python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
stop_and_look() {
    local name=$1 number=$2; shift 2
    rm -f flushed
    venv/bin/"$@" >log 2>&1 &
    local server=$!
    python3 - "$number" <<'PY'
import sys, time, urllib.request
for _ in range(150):
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/", timeout=5).read(); break
    except OSError: time.sleep(0.1)
else: sys.exit("the server does not answer")
PY
    kill -TERM "$server"; wait "$server" 2>/dev/null || true
    if [[ -e flushed ]]; then echo "$name: atexit ran"; else echo "$name: atexit did not run"; fi
}
p=$(port); stop_and_look uvicorn "$p" uvicorn app:application --port "$p" | tee seen
p=$(port); stop_and_look granian "$p" granian --interface asgi --port "$p" app:application | tee -a seen
p=$(port); stop_and_look hypercorn "$p" hypercorn -w 1 -b "127.0.0.1:$p" app:application | tee -a seen
p=$(port); stop_and_look daphne "$p" daphne -b 127.0.0.1 -p "$p" app:application | tee -a seen
diff seen - <<'END'
uvicorn: atexit did not run
granian: atexit did not run
hypercorn: atexit ran
daphne: atexit ran
END
