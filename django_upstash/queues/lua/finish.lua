-- Takes the job ARGV[1] out of KEYS[1] and, where it was there, stores its result ARGV[2] in KEYS[2] for ARGV[3]
-- milliseconds. With ARGV[4] and ARGV[5] the job goes back, due at that time and in that form. Returns 1 where it was.
if redis.call('ZREM', KEYS[1], ARGV[1]) == 0 then
  return 0
end
if ARGV[5] then
  redis.call('ZADD', KEYS[1], ARGV[4], ARGV[5])
end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return 1
