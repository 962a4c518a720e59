"""Numbers about what this package does, for operators and for metrics."""
