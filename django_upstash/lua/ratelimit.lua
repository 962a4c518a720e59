-- Decides about ARGV[2] units at ARGV[1], in microseconds since 1970, by one policy for each key: all of them or none.
-- A negative number gives units back, and is always granted. Then, for each key, the algorithm's name and four numbers,
-- and last the name of a lease. ARGV[3] is 'MSETEX' where the server may have it.
-- Returns whether it is granted, whether MSETEX turned out to be unknown, and for each key: whether that policy grants
-- it, the units left, and the microseconds until it would and until all are back.
-- algorithms.py says the same in Python.
local now, lease = tonumber(ARGV[1]), ARGV[#ARGV]
local floor, ceil = math.floor, math.ceil
local SECOND, GRACE = 1000000, 1000

local function window(text, cost, limit, start, ends)
  local stored, count = 0, 0
  if text and #text > 9 and #text < 21 and not text:find('%D') then
    stored, count = tonumber(text:sub(1, -10)), tonumber(text:sub(-9))
  end
  if stored > start and stored <= ends then
    -- A process whose clock is ahead has begun this window.
    start, ends = stored, ends + stored - start
  elseif stored ~= start then
    count = 0
  end
  local granted = cost <= 0 or count + cost <= limit
  if granted then
    count = math.max(0, count + cost)
  end
  local left = ends * SECOND - now
  local wait, reset = granted and 0 or left, count > 0 and left or 0
  return granted, math.max(0, limit - count), wait, reset, string.format('%.0f%09.0f', start, count), left
end

local function sliding(text, cost, limit, width)
  local OLDEST = 50
  local counts, used, newest, oldest = {}, 0, floor(now / width), 0
  local stored, first = (text or ''):match('^s(%d+)()')
  stored = tonumber(stored)
  if stored and stored - newest <= OLDEST then
    newest = math.max(newest, stored)
    local age = newest - stored
    for younger = 0, math.min(age - 1, OLDEST) do
      counts[younger] = 0
    end
    for count in text:sub(first, age > OLDEST and first - 1 or -1):gmatch('%d+') do
      count = tonumber(count)
      counts[age], oldest, used = count, age, used + count
      age = age + 1
      if age > OLDEST then
        break
      end
    end
  end
  local granted, wait = cost <= 0 or used + cost <= limit, 0
  if not granted then
    local excess, age = used + cost - limit, oldest
    while age > 0 and excess > counts[age] do
      excess, age = excess - counts[age], age - 1
    end
    wait = (newest - age + OLDEST + 1) * width - now
  elseif cost > 0 then
    counts[0], used = (counts[0] or 0) + cost, used + cost
  else
    for age = oldest, 0, -1 do
      local back = math.min(counts[age] or 0, -cost)
      counts[age], used, cost = (counts[age] or 0) - back, used - back, cost + back
    end
  end
  while oldest >= 0 and (counts[oldest] or 0) == 0 do
    oldest = oldest - 1
  end
  local state, youngest = 's' .. newest, 0
  if used > 0 then
    state = state .. ' ' .. table.concat(counts, ' ', 0, oldest)
    while counts[youngest] == 0 do
      youngest = youngest + 1
    end
  end
  local left = (newest - youngest + OLDEST + 1) * width - now
  return granted, math.max(0, limit - used), wait, used > 0 and left or 0, state, left
end

local function bucket(text, cost, limit, scale, drain, tick)
  local used, full, at = 0, limit * scale, floor(now / tick)
  local last, level, grain = (text or ''):match('^b(%d+) (%d+) (%d+)$')
  if last then
    last, level, grain = floor(tonumber(last) / tick), tonumber(level), tonumber(grain)
    used = grain == scale and level or ceil(level / grain * scale)
    if last <= at then
      used = math.max(0, used - (at - last) * drain)
    elseif (last - at) * drain <= full then
      at = last
    else
      used = 0
    end
  end
  local wanted = used + cost * scale
  local granted, wait = cost <= 0 or wanted <= full, 0
  if granted then
    used = math.max(0, wanted)
  else
    wait = (at + ceil((wanted - full) / drain)) * tick - now
  end
  local left = (at + ceil(used / drain)) * tick - now
  local state = string.format('b%.0f %.0f %.0f', at * tick, used, scale)
  return granted, math.max(0, floor((full - used) / scale)), wait, used > 0 and left or 0, state, left
end

local function leases(text, cost, limit, length)
  local held, parts, first, last = 0, {'l'}, nil, now
  local function keep(name, ends)
    held, parts[held + 2] = held + 1, string.format('%s %.0f', name, ends)
    first, last = math.min(first or ends, ends), math.max(last, ends)
  end
  for name, ends in (text and text:match('^l .*') or ''):gmatch('(%a%w*) (%d+)') do
    if tonumber(ends) > now and name ~= lease then
      keep(name, tonumber(ends))
    end
  end
  local granted = cost <= 0 or held < limit
  local wait = granted and 0 or (first or now + length) - now
  if granted and cost > 0 then
    keep(lease, now + length)
  end
  local state = table.concat(parts, ' ')
  return granted, math.max(0, limit - held), wait, last - now, state, math.max(last - now, 1)
end

local algorithms = {window = window, sliding = sliding, bucket = bucket, leases = leases}
local states = redis.call('MGET', unpack(KEYS))

local function decide(number, cost)
  local place = 4 + (number - 1) * 5
  local a, b, c, d = unpack(ARGV, place + 1, place + 4)
  return algorithms[ARGV[place]](states[number], cost, tonumber(a), tonumber(b), tonumber(c), tonumber(d))
end

local granted, reply, writes, lifetime = true, {0, 0}, {}, 0
for number, key in ipairs(KEYS) do
  local grants, left, wait, reset, state, ttl = decide(number, tonumber(ARGV[2]))
  granted = granted and grants
  local place = 4 * number - 1
  reply[place], reply[place + 1], reply[place + 2], reply[place + 3] = grants and 1 or 0, left, wait, reset
  writes[2 * number - 1], writes[2 * number], lifetime = key, state, math.max(lifetime, ttl)
end
if not granted then
  -- Nothing is charged, by those policies neither that would have granted it.
  for number = 1, #KEYS do
    local _, left, _, reset = decide(number, 0)
    reply[4 * number], reply[4 * number + 2] = left, reset
  end
  return reply
end

reply[1] = 1
-- The server's clock and ours differ a little: what is too old is known by its own time, what is gone is lost.
lifetime = ceil(lifetime / 1000) + GRACE
local function set_each()
  for number = 1, #writes, 2 do
    redis.call('SET', writes[number], writes[number + 1], 'PX', lifetime)
  end
end
if #KEYS == 1 or ARGV[3] ~= 'MSETEX' then
  set_each()
  return reply
end
writes[#writes + 1], writes[#writes + 2] = 'PX', lifetime
local done = redis.pcall('MSETEX', #KEYS, unpack(writes))
if type(done) == 'table' and done.err then
  if not done.err:lower():find('unknown') then
    return done
  end
  writes[#writes], writes[#writes - 1], reply[2] = nil, nil, 1
  set_each()
end
return reply
