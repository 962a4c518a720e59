-- BITOP DIFF, DIFF1, ANDOR or ONE: ARGV[1] is the operation, the first key the destination.
local values, longest = {}, 0
for index = 2, #KEYS do
  local value = redis.pcall('GET', KEYS[index])
  if type(value) == 'table' then return value end
  values[index - 1] = value or ''
  longest = math.max(longest, #values[index - 1])
end

local function combined(position)
  local first = string.byte(values[1], position) or 0
  local any, twice = 0, 0
  for index = 2, #values do
    local byte = string.byte(values[index], position) or 0
    twice = bit.bor(twice, bit.band(any, byte))
    any = bit.bor(any, byte)
  end
  if ARGV[1] == 'DIFF' then return bit.band(first, 255 - any) end
  if ARGV[1] == 'DIFF1' then return bit.band(any, 255 - first) end
  if ARGV[1] == 'ANDOR' then return bit.band(first, any) end
  return bit.band(bit.bxor(first, any), 255 - twice)
end

if longest == 0 then
  redis.call('DEL', KEYS[1])
  return 0
end
local bytes = {}
for position = 1, longest do bytes[position] = string.char(combined(position)) end
redis.call('SET', KEYS[1], table.concat(bytes))
return longest
