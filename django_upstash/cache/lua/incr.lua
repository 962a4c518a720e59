-- Adds ARGV[1] to the integer at KEYS[1] and keeps its time to live.
-- Returns the sum; nothing for a missing key; {what is stored} where that or ARGV[1] is no 64-bit integer, or the sum.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return false
end
local sum = redis.pcall('INCRBY', KEYS[1], ARGV[1])
if type(sum) ~= 'number' then
  return {redis.call('GET', KEYS[1])}
end
-- Lua's numbers are doubles: a sum beyond 53 bits is exact in the database only.
if math.abs(sum) >= 9007199254740992 then
  return redis.call('GET', KEYS[1])
end
return sum
