#!/usr/bin/env bash
# uWSGI loads the application in the master and then forks in C. The workers run none of the hooks of
# `os.register_at_fork`, which gunicorn --preload, multiprocessing and os.fork() all run. A library that relies on
# such a hook to drop inherited sockets shares them among the workers.
# Seen in: pyuwsgi 2.0.30.post1. With --py-call-uwsgi-fork-hooks the hooks run.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -qq --disable-pip-version-check pyuwsgi==2.0.30.post1
cat >app.py <<'PY'
import os
loaded_in = os.getpid()
hooks = []
os.register_at_fork(after_in_child=lambda: hooks.append(os.getpid()))
def application(environ, start_response):
    start_response("200 OK", [])
    return [f"forked={os.getpid() != loaded_in} hooks={len(hooks)}".encode()]
PY
ask() {
    venv/bin/uwsgi --http-socket 127.0.0.1:0 --socket "$folder/s.sock" --module app --master --processes 1 \
        --need-app --die-on-term "$@" >log 2>&1 &
    local server=$!
    python3 - "$folder/s.sock" <<'PY'
import socket, struct, sys, time
def field(text): return struct.pack("<H", len(text)) + text.encode()
for _ in range(100):
    try:
        s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); break
    except OSError: time.sleep(0.1)
body = b"".join(field(part) for pair in {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "SERVER_PROTOCOL": "HTTP/1.1",
    "SERVER_NAME": "localhost", "SERVER_PORT": "80", "REQUEST_URI": "/", "QUERY_STRING": ""}.items() for part in pair)
s.settimeout(20); s.sendall(struct.pack("<BHB", 0, len(body), 0) + body)
answer = b""
while chunk := s.recv(4096): answer += chunk
print(answer.split(b"\r\n\r\n")[1].decode())
PY
    kill -TERM "$server"; wait "$server" 2>/dev/null || true
}
default=$(ask)
with_option=$(ask --py-call-uwsgi-fork-hooks)
echo "default: $default"
echo "--py-call-uwsgi-fork-hooks: $with_option"
[[ $default == "forked=True hooks=0" && $with_option == "forked=True hooks=1" ]]
