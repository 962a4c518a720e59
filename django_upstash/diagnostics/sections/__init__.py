"""The parts of ``redis_health``: each declares its arguments and turns them into output and an outcome."""
