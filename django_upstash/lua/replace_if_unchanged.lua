-- Stores ARGV[2] at KEYS[1] where the SHA-1 of what is stored is still ARGV[1], and keeps its time to live.
-- Returns 1; nothing for a missing key; {what is stored} where that has changed.
local stored = redis.call('GET', KEYS[1])
if not stored then
  return false
end
if redis.sha1hex(stored) ~= ARGV[1] then
  return {stored}
end
redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
return 1
