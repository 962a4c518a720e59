"""Looking at a connection and at what its database holds. Needs nothing of Django's management commands."""
