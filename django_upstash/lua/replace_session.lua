-- Stores ARGV[2] at KEYS[1] for ARGV[3] milliseconds where ARGV[1] is stored there still.
-- Returns 1; nothing for a missing key; {what is stored} where that has changed.
local stored = redis.call('GET', KEYS[1])
if not stored then
  return false
end
if stored ~= ARGV[1] then
  return {stored}
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
