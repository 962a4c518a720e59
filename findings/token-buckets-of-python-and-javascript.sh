#!/usr/bin/env bash
# upstash-ratelimit for Python and @upstash/ratelimit for JavaScript use the same keys, and their fixed and sliding windows
# count together. Their token buckets do not: one keeps its time in the hash field `refilled_at`, the other in
# `refilledAt`, so a client gets both buckets' tokens.
# Seen in: upstash-ratelimit 1.2.0 (PyPI), @upstash/ratelimit 2.2.0 (npm).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -qq --disable-pip-version-check upstash-ratelimit==1.2.0
npm install --silent --no-audit --no-fund --prefix . @upstash/ratelimit@2.2.0 >/dev/null
fields() { grep -rhoE "refilled(_at|At)" "$1" --include="$2" | sort -u | tr '\n' ' '; }
python=$(fields venv/lib/python3*/site-packages/upstash_ratelimit '*.py')
javascript=$(fields node_modules/@upstash/ratelimit/dist 'index.js')
echo "Python: $python"
echo "JavaScript: $javascript"
[[ $python == *refilled_at* && $python != *refilledAt* && $javascript == *refilledAt* && $javascript != *refilled_at* ]]
