-- XREADGROUP … NOACK: the streams are the keys; a consumer that was not there before is not there afterwards.
local group, consumer = ARGV[2], ARGV[3]
local function is_known(stream)
  local consumers = redis.pcall('XINFO', 'CONSUMERS', stream, group)
  if consumers.err then return true end
  for _, fields in ipairs(consumers) do
    for index = 1, #fields, 2 do
      if fields[index] == 'name' and fields[index + 1] == consumer then return true end
    end
  end
  return false
end

local made = {}
for _, stream in ipairs(KEYS) do
  if not is_known(stream) then made[#made + 1] = stream end
end
local reply = redis.pcall('XREADGROUP', unpack(ARGV))
for _, stream in ipairs(made) do redis.pcall('XGROUP', 'DELCONSUMER', stream, group, consumer) end
return reply
