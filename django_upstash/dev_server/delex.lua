-- DELEX key [IFEQ value | IFNE value] for servers that do not have it.
if #ARGV == 0 then return redis.call('DEL', KEYS[1]) end
local condition = string.upper(ARGV[1])
if #ARGV ~= 2 or (condition ~= 'IFEQ' and condition ~= 'IFNE') then
  return redis.error_reply('ERR syntax error')
end
local value = redis.pcall('GET', KEYS[1])
if type(value) == 'table' then return value end
if value and (value == ARGV[2]) == (condition == 'IFEQ') then return redis.call('DEL', KEYS[1]) end
return 0
