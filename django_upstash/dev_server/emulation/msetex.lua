-- MSETEX: the condition or '', the number of SET's options, those, then a value for each key.
local first = 3 + tonumber(ARGV[2])
if ARGV[1] ~= '' then
  local found = redis.call('EXISTS', unpack(KEYS))
  if found ~= (ARGV[1] == 'XX' and #KEYS or 0) then return 0 end
end
for index, key in ipairs(KEYS) do
  local arguments = {key, ARGV[first + index - 1], unpack(ARGV, 3, first - 1)}
  local reply = redis.pcall('SET', unpack(arguments))
  if reply.err then return reply end
end
return 1
