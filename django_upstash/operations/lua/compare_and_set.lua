-- Stores ARGV[2] at KEYS[1], with SET's options in ARGV[4] and on, where the SHA-1 of what is stored is still ARGV[1].
-- Returns 1; nothing for a missing key; where the value has changed {what is stored}, or nothing unless ARGV[3] is 1.
local stored = redis.call('GET', KEYS[1])
if not stored then
  return false
end
if redis.sha1hex(stored) ~= ARGV[1] then
  return ARGV[3] == '1' and {stored}
end
redis.call('SET', KEYS[1], ARGV[2], unpack(ARGV, 4))
return 1
