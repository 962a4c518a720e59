"""Whole client APIs over a connection, on either route: redis-py's (``redis``) and the Upstash SDK's (``upstash``)."""
