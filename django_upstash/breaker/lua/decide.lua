-- One step of a circuit breaker's record, decided by the server's clock.
-- KEYS: the record; the set of breakers by when their records end; what is forced, by breaker.
-- ARGV: step, breaker, milliseconds that records are kept, and what the step takes.
-- The record: state, until, failures, successes, opens, opened at, forced, forced until, then place=until of each probe,
-- and name_value=0 of what is noted about the last opening: an earlier version takes these for places that have ended.
-- Returns: state, milliseconds it lasts (-1: until told otherwise), failures, opens, opened at, granted, done here.
local step, name, kept = ARGV[1], ARGV[2], tonumber(ARGV[3])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local words = {}
for word in string.gmatch(redis.call('GET', KEYS[1]) or '', '%S+') do words[#words + 1] = word end
if words[1] ~= 'open' and words[1] ~= 'half_open' and words[1] ~= 'closed' then words = {} end
local function number(place) return tonumber(words[place] or 0) or 0 end
local state, ends, failures, successes = words[1] or 'closed', number(2), number(3), number(4)
local opens, opened_at, forced, forced_until = number(5), number(6), words[7] or '-', number(8)
local changed, granted, done = false, 0, 0
-- The server's clock has been set back: what is open is so for its timeout from now on, and not for the step as well.
if opened_at > now then
  ends, opened_at, changed = math.max(ends - opened_at + now, 0), now, true
end
local longest = step == 'probe' and now + tonumber(ARGV[6]) or math.huge
local places, taken, notes = {}, 0, {}
for index = 9, #words do
  local token, place_ends = string.match(words[index], '^(.-)=(%d+)$')
  if token and tonumber(place_ends) > now then
    places[token], taken = math.min(tonumber(place_ends), longest), taken + 1
    changed = changed or tonumber(place_ends) > longest
  elseif token and tonumber(place_ends) == 0 then
    local noted, value = string.match(token, '^(%l+)_([%w_]+)$')
    if noted then notes[noted] = value end
  end
end
if forced ~= 'open' and forced ~= 'closed' and forced ~= 'disabled' then forced, forced_until = '-', 0 end
if forced_until > 0 and forced_until <= now then
  forced, forced_until, changed = '-', 0, true
  redis.call('HDEL', KEYS[3], name)
end

local function decimal(value) return string.format('%.0f', value) end
local function become(to, lasts)
  state, ends, failures, successes, places, taken, changed = to, now + lasts, 0, 0, {}, 0, true
end
local function note(noted, value)
  if value and string.match(value, '^[%w_]+$') then notes[noted] = value end
end
local function open(timeout, error, count, threshold)
  notes = state == 'half_open' and {refused = notes.refused} or {}
  note('error', error)
  note('failures', decimal(count))
  note('threshold', threshold)
  become('open', timeout)
  opens, opened_at, done = opens + 1, now, 1
end
local function take(token, lease)
  places[token], taken, changed = now + lease, taken + 1, true
end

if step == 'force' then
  local kind, lasts = ARGV[4], tonumber(ARGV[5])
  become('closed', 0)
  forced, forced_until, done = kind, lasts > 0 and now + lasts or 0, 1
  if kind == '-' then redis.call('HDEL', KEYS[3], name)
  else redis.call('HSET', KEYS[3], name, kind .. ' ' .. decimal(now) .. ' ' .. decimal(forced_until)) end
elseif forced == '-' and step == 'report' then
  local count, afresh, tripped = tonumber(ARGV[4]), ARGV[5] == '1', ARGV[6] == '1'
  local threshold, timeout = tonumber(ARGV[7]), tonumber(ARGV[8])
  if state == 'closed' then
    failures, changed = (afresh and 0 or failures) + count, true
    if tripped or (threshold > 0 and failures >= threshold) then
      open(timeout, ARGV[9], failures, ARGV[7])
    end
  end
elseif forced == '-' and step == 'probe' then
  local token, most, lease, held = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[8] == '1'
  if (state == 'open' and ends <= now) or (state == 'closed' and held) then become('half_open', 0) end
  if state == 'half_open' and taken < most then
    take(token, lease)
    granted = 1
    note('refused', decimal((tonumber(notes.refused) or 0) + tonumber(ARGV[7])))
  end
elseif forced == '-' and step == 'settle' then
  local token, outcome, threshold = ARGV[4], ARGV[5], tonumber(ARGV[6])
  local timeout, held = tonumber(ARGV[7]), ARGV[9] == '1'
  if state == 'closed' and held then
    become('half_open', 0)
    take(token, 1)
  end
  if state == 'half_open' and places[token] then
    places[token], taken, changed = nil, taken - 1, true
    if outcome == 'failure' then open(timeout, ARGV[8], 1, '1')
    elseif outcome == 'success' then
      successes = successes + 1
      if successes >= threshold then
        become('closed', 0)
        done = 1
      end
    end
  end
end

if changed then
  local text = {state, decimal(ends), decimal(failures), decimal(successes), decimal(opens), decimal(opened_at), forced,
                decimal(forced_until)}
  for token, place_ends in pairs(places) do text[#text + 1] = token .. '=' .. decimal(place_ends) end
  for noted, value in pairs(notes) do text[#text + 1] = noted .. '_' .. value .. '=0' end
  local lifetime = math.max(kept, ends - now + kept, forced_until - now + kept)
  if forced ~= '-' and forced_until == 0 then redis.call('SET', KEYS[1], table.concat(text, ' '))
  else redis.call('SET', KEYS[1], table.concat(text, ' '), 'PX', decimal(lifetime)) end
  if done == 1 then
    redis.call('ZADD', KEYS[2], forced ~= '-' and forced_until == 0 and '+inf' or decimal(now + lifetime), name)
    redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', '(' .. decimal(now))
  end
end

if forced ~= '-' then
  return {'forced_' .. forced, forced_until > 0 and forced_until - now or -1, failures, opens, opened_at, granted, done}
end
local left = -1
if state == 'open' then left = math.max(ends - now, 0) end
if state == 'half_open' then
  local soonest = nil
  if granted == 0 then
    for _, place_ends in pairs(places) do soonest = math.min(soonest or place_ends, place_ends) end
  end
  left = (soonest or now) - now
end
return {state, left, failures, opens, opened_at, granted, done}
