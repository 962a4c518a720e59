-- Tells whether KEYS[1] exists: the least that a script can do, to see whether scripts run at all.
return redis.call('EXISTS', KEYS[1])
