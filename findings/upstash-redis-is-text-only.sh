#!/usr/bin/env bash
# The Upstash SDK for Python carries text alone: bytes as an argument are a TypeError of the JSON encoder, and a stored
# value that is no UTF-8, such as a pickle, a compressed value or one written by another client, is a
# UnicodeDecodeError while reading, though it travels as base64.
# Seen in: upstash-redis 1.8.0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -qq --disable-pip-version-check upstash-redis==1.8.0
cat >look.py <<'PY'
import base64, json, pickle, threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from upstash_redis import Redis
class Server(BaseHTTPRequestHandler):
    """Answers every command with a pickle, in the encoding that the SDK asks for."""
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        assert self.headers["Upstash-Encoding"] == "base64"
        body = json.dumps({"result": base64.b64encode(pickle.dumps({"cart": [1]})).decode()}).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def log_message(self, *args): pass
server = HTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
redis = Redis(url=f"http://127.0.0.1:{server.server_port}", token="token", rest_retries=0)
for name, call in (("set of bytes", lambda: redis.set("k", pickle.dumps(1))), ("get of bytes", lambda: redis.get("k"))):
    try: print(name, call())
    except Exception as error: print(f"{name}: {type(error).__name__}")
PY
venv/bin/python look.py | tee seen
diff seen - <<'END'
set of bytes: TypeError
get of bytes: UnicodeDecodeError
END
