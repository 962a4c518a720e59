"""The admin page of rate-limit counters."""
