-- ZRANGESTORE … LIMIT of ranks: the offset, the count, then ZRANGE's arguments after the key.
local found = redis.pcall('ZRANGE', KEYS[2], unpack(ARGV, 3))
if found.err then return found end
local offset, count = tonumber(ARGV[1]), tonumber(ARGV[2])
local total = #found / 2
local last = count < 0 and total or math.min(total, offset + count)
redis.call('DEL', KEYS[1])
if offset < 0 or offset >= last then return 0 end
for rank = offset + 1, last do redis.call('ZADD', KEYS[1], found[2 * rank], found[2 * rank - 1]) end
return last - offset
