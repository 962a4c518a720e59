-- Removes KEYS[1] where ARGV[1] is stored there.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
