-- Takes up to ARGV[2] jobs out of KEYS[1], the ready ones, and puts them into KEYS[2], those that wait for a time,
-- until ARGV[3], counting an attempt and noting the owner ARGV[4] in each.
-- What has waited long enough by ARGV[1], delayed or left by its owner, becomes ready first. KEYS[3] gets what is no
-- job, or cannot be one any more. A job past its time to live is dropped. Times are in milliseconds; ARGV[5] is the width of a priority.
-- The owner's token ends with how far its machine's clock is behind the server's. Who finds a reservation over by a
-- server's clock that has been set puts it off, once, to when it ends by the machines' clocks; its deadline is odd then.
-- Returns when the next job is due, '' where none waits, and then the jobs taken.
local now, wanted, width = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[5])

local function is_text(bytes)
  if not bytes:find('[\128-\255]') then
    return true
  end
  local two, four = '[\128-\191][\128-\191]', '[\128-\191][\128-\191][\128-\191]'
  local rest = bytes:gsub('[\194-\223][\128-\191]', '.'):gsub('\224[\160-\191][\128-\191]', '.')
  rest = rest:gsub('\237[\128-\159][\128-\191]', '.'):gsub('[\225-\236\238\239]' .. two, '.')
  rest = rest:gsub('\240[\144-\191]' .. two, '.'):gsub('[\241-\243]' .. four, '.')
  return not rest:gsub('\244[\128-\143]' .. two, '.'):find('[\128-\255]')
end

-- Takes for a job what queues/jobs.py does.
local function parts(job)
  local id, priority, enqueued, expires, attempts, payload = job:match('^(%S+) (%-?%d+) (%d+) (%d+) (%d+) %S+ (.*)$')
  if not id or #priority > 4 or #enqueued > 15 or #expires > 15 or #attempts > 9 or not is_text(job) then
    return nil
  end
  if math.abs(tonumber(priority)) > 100 or math.max(tonumber(enqueued), tonumber(expires)) > 253402300799000 then
    return nil
  end
  return id, priority, enqueued, expires, attempts, payload
end

local function discard(job)
  redis.call('ZADD', KEYS[3], ARGV[1], job)
end

-- A score that nobody here has written may be anything.
local function bounded(score)
  return math.min(math.max(tonumber(score), 0), now)
end

local own, longest = tonumber(ARGV[4]:match('%.(%-?%d+)$')), tonumber(ARGV[3]) - now
local placed = {}

-- For how many milliseconds a reservation goes on. Clocks of machines that differ by more than it lasts say nothing.
local function left_of(job, score)
  local behind = tonumber(job:match('^%S+ %-?%d+ %d+ %d+ %d+ %x+%.(%-?%d+) ') or '')
  if not behind or not own or score % 2 ~= 0 or math.abs(own - behind) < 2000 then return 0 end
  local left = score - now + own - behind
  return left > 0 and left <= longest and left or 0
end

local function put_off(job, left)
  local deadline = now + left
  placed[#placed + 1] = string.format('%.0f', deadline + 1 - deadline % 2)
  placed[#placed + 1] = job
end

local first = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
local due = first[2] and tonumber(first[2]) < width and string.format('%.0f', math.max(tonumber(first[2]), 0)) or ''
if first[2] and tonumber(first[2]) <= now then
  local found = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[1], 'WITHSCORES', 'LIMIT', 0, 100)
  local gone, returned = {}, {}
  for place = 1, #found, 2 do
    local id, priority, enqueued, expires, attempts, payload = parts(found[place])
    local left = id and left_of(found[place], tonumber(found[place + 1])) or 0
    if left == 0 then gone[#gone + 1] = found[place] end
    if left > 0 then
      put_off(found[place], left)
    elseif id and tonumber(attempts) < 1000 then
      returned[#returned + 1] = string.format('%.0f', (100 - tonumber(priority)) * width + bounded(found[place + 1]))
      returned[#returned + 1] = table.concat({id, priority, enqueued, expires, attempts, '-', payload}, ' ')
    else
      discard(found[place])
    end
  end
  if #gone > 0 then
    redis.call('ZREM', KEYS[2], unpack(gone))
  else
    due = string.format('%.0f', now + 1000)  -- others may be due before what goes on
  end
  if #returned > 0 then
    redis.call('ZADD', KEYS[1], unpack(returned))
  end
end

local taken = {due}
while #taken <= wanted do
  local popped = redis.call('ZPOPMIN', KEYS[1], wanted + 1 - #taken)
  for place = 1, #popped, 2 do
    local id, priority, enqueued, expires, attempts, payload = parts(popped[place])
    if not id then
      discard(popped[place])
    elseif tonumber(expires) == 0 or tonumber(expires) > now then
      attempts = string.format('%.0f', tonumber(attempts) + 1)
      taken[#taken + 1] = table.concat({id, priority, enqueued, expires, attempts, ARGV[4], payload}, ' ')
      placed[#placed + 1] = ARGV[3]
      placed[#placed + 1] = taken[#taken]
    end
  end
  if #popped == 0 or #taken > wanted then
    break
  end
end
if #placed > 0 then
  redis.call('ZADD', KEYS[2], unpack(placed))
end
return taken
