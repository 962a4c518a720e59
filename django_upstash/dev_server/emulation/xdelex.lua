-- XDELEX and XACKDEL: the group that acknowledges or '', KEEPREF, DELREF or ACKED, then the ids.
local key, group, policy = KEYS[1], ARGV[1], ARGV[2]
local groups = redis.pcall('XINFO', 'GROUPS', key)
if groups.err then
  if not string.find(groups.err, 'no such key', 1, true) then return groups end
  groups = {}
end
local last, known = {}, group == ''
for _, fields in ipairs(groups) do
  local described = {}
  for index = 1, #fields, 2 do described[fields[index]] = fields[index + 1] end
  last[described.name] = described['last-delivered-id']
  known = known or described.name == group
end

-- Ids have 64 bits, which are too many for Lua's numbers.
local function is_after(left, right)
  local left_time, left_rest = string.match(left, '(%d+)-(%d+)')
  local right_time, right_rest = string.match(right, '(%d+)-(%d+)')
  if left_time == right_time then left_time, right_time = left_rest, right_rest end
  if #left_time ~= #right_time then return #left_time > #right_time end
  return left_time > right_time
end

local function is_awaited(id)
  for name, delivered in pairs(last) do
    if is_after(id, delivered) or #redis.call('XPENDING', key, name, id, id, 1) > 0 then return true end
  end
  return false
end

local ids = {}
for index = 3, #ARGV do
  local found = redis.pcall('XRANGE', key, ARGV[index], ARGV[index])
  if found.err then return found end
  ids[index - 2] = found[1] and found[1][1] or false
end
local replies = {}
for index, id in ipairs(ids) do
  local asked = ARGV[index + 2]
  local acknowledged = known and group ~= '' and redis.call('XACK', key, group, asked) == 1
  if policy == 'DELREF' and known then
    for name in pairs(last) do redis.call('XACK', key, name, asked) end
  end
  local complete = string.find(asked, '-', 1, true) and asked or asked .. '-0'
  if not known then
    replies[index] = -1
  elseif policy == 'ACKED' and is_awaited(complete) then
    replies[index] = 2  -- as Redis does, for an entry that is gone, too
  else
    local deleted = id and redis.call('XDEL', key, id) == 1
    replies[index] = (acknowledged or deleted) and 1 or -1
  end
end
return replies
