"""The admin page of circuit breakers."""
