-- Decides about ARGV[2] units at ARGV[1], in microseconds since 1970, by one policy for each key: all of them or none.
-- A negative number gives units back, and is always granted. Then, for each key, the algorithm's name and up to four
-- numbers, of leases the last is the name of the lease wanted. For several keys each policy fills five places, and what
-- comes last is 'MSETEX' where the server may have it.
-- ARGV[3] names the clock that the time is of, four letters, and then those known to agree with it; nothing where no
-- other process takes part. ARGV[4] is 1 where the server's time has just been asked for, and else when it was, by that clock.
-- Returns whether it is granted, whether MSETEX turned out to be of no use, and for each key: whether that policy grants
-- it, the units left, and the microseconds until it would and until all are back. At the end comes the name of a clock
-- that turned out to agree. Returns -1, having done nothing, where the clock of a state and this one disagree.
-- algorithms.py says the same in Python, but for the clocks.
local now, cost, clocks, is_fresh = ARGV[1] + 0, ARGV[2] + 0, ARGV[3], ARGV[4] == '1'
local sampled = is_fresh and now or tonumber(ARGV[4]) or 0
local SECOND, GRACE, OLDEST, TOLERANCE = 1000000, 1000, 50, 500000
local floor, ceil, max, min = math.floor, math.ceil, math.max, math.min

local states = redis.call('MGET', unpack(KEYS))

-- The server's clock and ours differ a little: what is too old is known by its own time, what is gone is lost.
local function lifetime(left)
  return (left - left % 1000) / 1000 + GRACE + 1
end

-- A state ends with the clock it was written by, and with when its key expires by that clock, in milliseconds: in
-- letters, for earlier versions pass over letters. Less what the key still lives, that is what this clock says now.
local function stamped(name, state, lives)
  if clocks == '' or name == 'window' then
    return state
  end
  local expires = string.format('%.0f', floor(now / 1000) + lives):gsub('%d', function(digit)
    return string.char(digit + 97)
  end)
  return state .. ' ' .. clocks:sub(1, 4) .. expires
end

local function write(key, name, state, lives)
  redis.call('SET', key, stamped(name, state, lives), 'PX', lives)
end

local function counted(text)
  if text and #text > 9 and #text < 21 and not text:find('%D') then
    return text:sub(1, -10) + 0, text:sub(-9) + 0
  end
  return 0, 0
end

-- Returns by how much a state is in the future, at least.
local function ahead(name, text, size)
  if name == 'sliding' then
    return ((text:match('^r(%d+)') or 1) - 1) * size - now
  elseif name == 'leases' then
    local last = 0
    for ends in text:gmatch('%a%w* (%d+)') do
      last = max(last, ends + 0)
    end
    return last - size - now
  end
  return (text:match('^b(%d+)') or 0) - now
end

-- Returns a state as it would be had it been written so much later.
local function moved(name, text, size, by)
  if name == 'sliding' then
    return (text:gsub('^r(%d+)', function(newest)
      return string.format('r%.0f', max(0, ceil(newest + by / size)))
    end))
  elseif name == 'leases' then
    return (text:gsub('(%a%w*) (%d+)', function(lease, ends)
      return string.format('%s %.0f', lease, ends + by)
    end))
  end
  return (text:gsub('^b(%d+)', function(last)
    return string.format('b%.0f', max(0, last + by))
  end))
end

local disagree, agreeing, is_moved = false, nil, {}

-- Tells whether a window that began at such a time is not over by the clock of who wrote it. Keys written together live
-- as long as the longest of them, which then is the one that says what its clock says now.
local function is_running(start)
  local length, writer = 0, nil
  for number = 1, #KEYS do
    local place = 5 * number
    local began = counted(states[number])
    if ARGV[place] ~= 'window' then
      return false  -- these say whose clock it was
    elseif began > 0 then
      local ends = began + ARGV[place + 3] - ARGV[place + 2]
      local says = ends * 1000 + GRACE - redis.call('PTTL', KEYS[number])
      writer = max(writer or says, says)
      length = began == start and ends - began or length
    end
  end
  return (start + length) * 1000 - writer > TOLERANCE / 1000
end

-- Returns the state of a window by this clock.
local function current_window(number, text, start, ends)
  local stored, count = counted(text)
  if stored > ends then
    -- The clock of who wrote it was ahead: what it counted, counts in this window.
    disagree, is_moved[number] = disagree or not is_fresh, true
    return string.format('%.0f%09.0f', start, count)
  elseif stored > 0 and stored < start and not is_fresh and is_running(stored) then
    disagree = true
  end
  return text
end

-- Returns the state of a key by this clock.
local function current(number, name, size, ends)
  local text = states[number]
  if name == 'window' then
    return current_window(number, text, size, ends)
  end
  local state, clock, letters = text:match('^(.*) (%u%u%u%u)(%l+)$')
  local expires = letters and letters:gsub('%l', function(letter)
    return letter:byte() - 97
  end) * 1000
  state = state or text
  local lead = ahead(name, state, size)
  if lead <= TOLERANCE and (not clock or (clocks:find(clock, 1, true) and expires > now - TOLERANCE)) then
    return state
  end
  local lives = redis.call('PTTL', KEYS[number])
  -- Of a state without a clock only this much is certain.
  local by = lives > 0 and expires and now + 1000 - (expires - lives * 1000) or -lead
  if by > TOLERANCE or by < -TOLERANCE then
    disagree = disagree or not is_fresh
  else
    -- A key's expiry moves with the server's clock, so a state from before the sample says nothing of its writer's clock
    -- now: the server's may have been set in between.
    agreeing = now + lead > sampled and clock or nil
    if lead <= TOLERANCE then
      return state
    end
    -- The server's clock has been set back since.
    by = -lead
  end
  is_moved[number] = true
  return moved(name, state, size, by)
end

-- A sliding window charged once more in its newest part: what is written of the older ones stays.
-- Returns nothing where the time is another, or the units are too many.
local function charged_again(text, cost, limit, width)
  local head, newest, older, count, tail = (text or ''):match('^(r(%d+) (%d+) )(%d+)(.*)')
  local left = head and (newest + OLDEST + 1) * width - now
  if head and left > OLDEST * width and left <= (2 * OLDEST + 1) * width and cost > 0 then
    count = count + cost
    if older + count <= limit then
      return limit - older - count, left, head .. count .. tail
    end
  end
end

if clocks ~= '' then
  for number = 1, #KEYS do
    local place = 5 * number
    if states[number] then
      states[number] = current(number, ARGV[place], ARGV[place + 2] + 0, tonumber(ARGV[place + 3]))
    end
  end
  if disagree then
    return {-1, 0}
  end
end

if #KEYS == 1 and ARGV[5] == 'sliding' then
  local remaining, left, state = charged_again(states[1], cost, ARGV[6] + 0, ARGV[7] + 0)
  if remaining then
    write(KEYS[1], 'sliding', state, lifetime(left))
    return {1, 0, 1, remaining, 0, left, agreeing}
  end
end

local function window(text, cost, limit, start, ends)
  local stored, count = counted(text)
  local is_later = stored > start and stored <= ends
  if is_later then
    -- A process whose clock is ahead has begun this window, or what is given back comes late.
    start, ends = stored, ends + stored - start
  elseif stored ~= start then
    count = 0
  end
  local granted = cost <= 0 or count + cost <= limit
  if granted and not (is_later and cost < 0) then
    count = max(0, count + cost)
  end
  local left = ends * SECOND - now
  local wait, reset = granted and 0 or left, count > 0 and left or 0
  return granted, max(0, limit - count), wait, reset, string.format('%.0f%09.0f', start, count), left
end

-- Returns the number of the newest part, the counts of all parts by their age, the age of the oldest, and their sum.
local function ring(text, newest)
  local counts, oldest, used = {}, 0, 0
  local stored, first = (text or ''):match('^r(%d+) %d+()')
  stored = tonumber(stored)
  if stored and stored - newest <= OLDEST then
    newest = max(newest, stored)
    local age = newest - stored
    for younger = 0, min(age - 1, OLDEST) do
      counts[younger] = 0
    end
    for count in text:sub(first, age > OLDEST and first - 1 or -1):gmatch('%d+') do
      counts[age], oldest, used = count + 0, age, used + count
      age = age + 1
      if age > OLDEST then
        break
      end
    end
  end
  return newest, counts, oldest, used
end

local function sliding(text, cost, limit, width)
  local remaining, left, state = charged_again(text, cost, limit, width)
  if remaining then
    return true, remaining, 0, left, state, left
  end
  local newest, counts, oldest, used = ring(text, floor(now / width))
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
      local back = min(counts[age] or 0, -cost)
      counts[age], used, cost = (counts[age] or 0) - back, used - back, cost + back
    end
  end
  if used == 0 then
    return granted, limit, wait, 0, 'r' .. newest .. ' 0', (newest + OLDEST + 1) * width - now
  end
  while counts[oldest] == 0 do
    oldest = oldest - 1
  end
  local youngest = 0
  while counts[youngest] == 0 do
    youngest = youngest + 1
  end
  left = (newest - youngest + OLDEST + 1) * width - now
  state = 'r' .. newest .. ' ' .. used - counts[0] .. ' ' .. table.concat(counts, ' ', 0, oldest)
  return granted, max(0, limit - used), wait, left, state, left
end

local function bucket(text, cost, limit, scale, drain, tick)
  local used, full, at = 0, limit * scale, floor(now / tick)
  local last, level, grain = (text or ''):match('^b(%d+) (%d+) (%d+)$')
  if last then
    last, level, grain = floor(last / tick), level + 0, grain + 0
    used = grain == scale and level or ceil(level / grain * scale)
    if last <= at then
      used = max(0, used - (at - last) * drain)
    elseif (last - at) * drain <= full then
      at = last
    else
      used = 0
    end
  end
  local wanted = used + cost * scale
  local granted, wait = cost <= 0 or wanted <= full, 0
  if granted then
    used = max(0, wanted)
  else
    wait = (at + ceil((wanted - full) / drain)) * tick - now
  end
  local left = (at + ceil(used / drain)) * tick - now
  local state = string.format('b%.0f %.0f %.0f', at * tick, used, scale)
  return granted, max(0, floor((full - used) / scale)), wait, used > 0 and left or 0, state, left
end

local function leases(text, cost, limit, length, lease)
  local held, parts, first, last = 0, {'l'}, nil, now
  local function keep(name, ends)
    held, parts[held + 2] = held + 1, string.format('%s %.0f', name, ends)
    first, last = min(first or ends, ends), max(last, ends)
  end
  for name, ends in (text and text:match('^l .*') or ''):gmatch('(%a%w*) (%d+)') do
    if ends + 0 > now and name ~= lease then
      keep(name, ends + 0)
    end
  end
  local granted = cost <= 0 or held < limit
  local wait = granted and 0 or (first or now + length) - now
  if granted and cost > 0 then
    keep(lease, now + length)
  end
  local state = table.concat(parts, ' ')
  return granted, max(0, limit - held), wait, last - now, state, max(last - now, 1)
end

local function decide(number, cost)
  local place = 5 * number
  local name, text, limit, size = ARGV[place], states[number], ARGV[place + 1] + 0, ARGV[place + 2] + 0
  if name == 'sliding' then
    return sliding(text, cost, limit, size)
  elseif name == 'leases' then
    return leases(text, cost, limit, size, ARGV[place + 3])
  elseif name == 'window' then
    return window(text, cost, limit, size, ARGV[place + 3] + 0)
  end
  return bucket(text, cost, limit, size, ARGV[place + 3] + 0, ARGV[place + 4] + 0)
end

if #KEYS == 1 then
  local granted, remaining, wait, reset, state, left = decide(1, cost)
  if granted then
    write(KEYS[1], ARGV[5], state, lifetime(left))
    return {1, 0, 1, remaining, wait, reset, agreeing}
  end
  if is_moved[1] then
    write(KEYS[1], ARGV[5], state, lifetime(left))
  end
  return {0, 0, 0, remaining, wait, reset, agreeing}
end

local granted, reply, writes, longest = true, {0, 0}, {}, 0
for number, key in ipairs(KEYS) do
  local grants, remaining, wait, reset, state, left = decide(number, cost)
  granted, longest = granted and grants, max(longest, left)
  local place = 4 * number - 1
  reply[place], reply[place + 1], reply[place + 2], reply[place + 3] = grants and 1 or 0, remaining, wait, reset
  writes[2 * number - 1], writes[2 * number] = key, state
end
if not granted then
  -- Nothing is charged, by those policies neither that would have granted it.
  for number = 1, #KEYS do
    if reply[4 * number - 1] == 1 then
      local _, remaining, _, reset = decide(number, 0)
      reply[4 * number], reply[4 * number + 2] = remaining, reset
    end
    if is_moved[number] then
      local _, _, _, _, state, left = decide(number, 0)
      write(KEYS[number], ARGV[5 * number], state, lifetime(left))
    end
  end
  reply[#reply + 1] = agreeing
  return reply
end

reply[1], reply[#reply + 1] = 1, agreeing
for number = 1, #KEYS do
  writes[2 * number] = stamped(ARGV[5 * number], writes[2 * number], lifetime(longest))
end
local function set_each()
  for number = 1, #writes, 2 do
    redis.call('SET', writes[number], writes[number + 1], 'PX', lifetime(longest))
  end
end
if ARGV[#ARGV] ~= 'MSETEX' then
  set_each()
  return reply
end
writes[#writes + 1], writes[#writes + 2] = 'PX', lifetime(longest)
local done = redis.pcall('MSETEX', #KEYS, unpack(writes))
if type(done) == 'table' and done.err then
  -- Unknown, or forbidden by an ACL: "… no permissions to run the 'msetex' command", "… can't run this command …".
  local text = done.err:lower()
  if not (text:find('unknown') or text:find('to run', 1, true) or text:find("can't run", 1, true)) then
    return done
  end
  writes[#writes], writes[#writes - 1], reply[2] = nil, nil, 1
  set_each()
end
return reply
