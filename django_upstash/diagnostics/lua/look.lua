-- Asks for the time, as rate limits do, and returns 0: the least that a script can do, to see whether scripts run at all.
redis.call('TIME')
return 0
