-- Stores ARGV[2] at KEYS[1], with SET's options in ARGV[3] and on, where the SHA-1 of what is stored is still ARGV[1].
-- Returns whether it was, as 1 or nothing.
local stored = redis.call('GET', KEYS[1])
if not stored or redis.sha1hex(stored) ~= ARGV[1] then
  return false
end
redis.call('SET', KEYS[1], ARGV[2], unpack(ARGV, 3))
return 1
