-- Adds to the counters in the hash KEYS[1], once for each batch of a process: KEYS[2] holds the number of its last one.
-- KEYS[3] is the set of ids that have been counted. ARGV: the batch's number, the milliseconds KEYS[2] lives, those
-- KEYS[1] and KEYS[3] live (0: for good), how many names follow, each with its amount; then id, name and amount in turns.
-- Returns how many counters could not be added to. What can be refused comes before the first write.
local lifetime, last = tonumber(ARGV[3]), 4 + 2 * tonumber(ARGV[4])
local names, amounts, ids, fresh, failed = {}, {}, {}, {}, 0
local known
for place = last + 1, #ARGV, 3 do
  ids[#ids + 1] = ARGV[place]
end
if #ids > 0 then
  known = redis.call('SMISMEMBER', KEYS[3], unpack(ids))
end
local before = redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2], 'GET')
if before and tonumber(before) >= tonumber(ARGV[1]) then
  redis.call('SET', KEYS[2], before, 'PX', ARGV[2])
  return 0
end
local function add(name, amount)
  if amounts[name] then
    amounts[name] = string.format('%.0f', tonumber(amounts[name]) + tonumber(amount))
  else
    -- As text, for a number would not hold every one of 64 bits.
    names[#names + 1] = name
    amounts[name] = amount
  end
end
for place = 5, last, 2 do
  add(ARGV[place], ARGV[place + 1])
end
for place = 1, #ids do
  if known[place] == 0 then
    fresh[#fresh + 1] = ids[place]
    add(ARGV[last + 3 * place - 1], ARGV[last + 3 * place])
  end
end
if #fresh > 0 then
  redis.call('SADD', KEYS[3], unpack(fresh))
  if lifetime > 0 then
    redis.call('PEXPIRE', KEYS[3], lifetime)
  end
end
for _, name in ipairs(names) do
  -- A counter that somebody else has made something else of must not lose the others.
  local total = redis.pcall('HINCRBY', KEYS[1], name, amounts[name])
  if type(total) ~= 'number' then
    failed = failed + 1
  elseif lifetime > 0 and total == tonumber(amounts[name]) then
    redis.call('PEXPIRE', KEYS[1], lifetime)
  end
end
return failed
