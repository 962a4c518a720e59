#!/usr/bin/env bash
# The Upstash SDK for Python sends a command again after any failure that it cannot read, once by default, also where the
# command may have run: INCR behind a gateway that answers 502 with HTML arrives twice, and the caller sees a
# JSONDecodeError. A retry of 0 turns that off.
# Seen in: upstash-redis 1.8.0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -qq --disable-pip-version-check upstash-redis==1.8.0
cat >look.py <<'PY'
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from upstash_redis import Redis
received = []
class Gateway(BaseHTTPRequestHandler):
    def do_POST(self):
        received.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(502); self.end_headers(); self.wfile.write(b"<html>Bad gateway</html>")
    def log_message(self, *args): pass
server = HTTPServer(("127.0.0.1", 0), Gateway)
threading.Thread(target=server.serve_forever, daemon=True).start()
def times(**options):
    received.clear()
    redis = Redis(url=f"http://127.0.0.1:{server.server_port}", token="token", **options)
    try: redis.incr("visits")
    except Exception as error: return f"INCR was sent {len(received)} times, {type(error).__name__}"
print("default:", times(rest_retry_interval=0))
print("rest_retries=0:", times(rest_retries=0))
PY
venv/bin/python look.py | tee seen
diff seen - <<'END'
default: INCR was sent 2 times, JSONDecodeError
rest_retries=0: INCR was sent 1 times, JSONDecodeError
END
