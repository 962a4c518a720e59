-- Takes the lock KEYS[1] for ARGV[2] milliseconds with the token ARGV[1], and the next number of KEYS[2] where it is
-- given. ARGV[3] is 1 where the token may hold the lock already, because an earlier answer was lost.
-- Returns the number, "0" where none is wanted, nil where somebody else holds the lock.
local taken = redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2])
if not taken and ARGV[3] == '1' and redis.call('GET', KEYS[1]) == ARGV[1] then
  taken = redis.call('PEXPIRE', KEYS[1], ARGV[2]) == 1
end
if not taken then
  return false
end
if not KEYS[2] then
  return '0'
end
local number = redis.call('INCR', KEYS[2])
if number == 1 then
  -- The first, or the first after the database lost its data: microseconds are more than all numbers given out before.
  local time = redis.call('TIME')
  number = time[1] * 1000000 + time[2]
  redis.call('SET', KEYS[2], string.format('%.0f', number))
end
return string.format('%.0f', number)
