#!/usr/bin/env bash
# Celery's documents give `rediss://…?ssl_cert_reqs=CERT_REQUIRED` for a Redis broker. redis-py takes the same URL, and
# raises RedisError on that spelling at its first connection; it wants `required`. Celery (kombu) takes both, so
# `required` is the spelling that one variable can hold for both.
# Seen in: redis 8.1.0, celery 5.7.0, kombu 5.7.0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -qq --disable-pip-version-check redis==8.1.0 celery==5.7.0 kombu==5.7.0
cat >look.py <<'PY'
import ssl, redis, celery
def by_redis(word):
    pool = redis.ConnectionPool.from_url(f"rediss://localhost:1/0?ssl_cert_reqs={word}")
    try: pool.make_connection()
    except redis.RedisError as error: return type(error).__name__
    return "accepted"
def by_celery(word):
    app = celery.Celery(broker=f"rediss://localhost:1/0?ssl_cert_reqs={word}", backend=f"rediss://localhost:1/0?ssl_cert_reqs={word}")
    found = app.connection().default_channel if False else app.backend.connparams["ssl_cert_reqs"]
    return "accepted" if found == ssl.CERT_REQUIRED else repr(found)
for word in ("CERT_REQUIRED", "required"):
    print(f"{word}: redis-py {by_redis(word)}, Celery's result backend {by_celery(word)}")
PY
venv/bin/python look.py | tee seen
diff seen - <<'END'
CERT_REQUIRED: redis-py RedisError, Celery's result backend accepted
required: redis-py accepted, Celery's result backend accepted
END
