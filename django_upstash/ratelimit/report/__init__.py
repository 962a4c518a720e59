"""What is known of a site's counters, for the admin and redis_health."""
