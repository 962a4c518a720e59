"""What this package costs, measured against its peers. Run ``python -m benchmarks.cache``."""
