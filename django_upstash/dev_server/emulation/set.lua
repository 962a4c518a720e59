-- SET key value … IFEQ or IFNE compared: the condition, the compared value, then SET's arguments after the key.
local stored = redis.pcall('GET', KEYS[1])
if type(stored) == 'table' then return stored end
if (stored == ARGV[2]) ~= (ARGV[1] == 'IFEQ') then return false end
return redis.pcall('SET', KEYS[1], unpack(ARGV, 3))
