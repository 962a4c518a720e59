-- Takes up to ARGV[2] jobs out of KEYS[1], the ready ones, and puts them into KEYS[2], those that wait for a time,
-- until ARGV[3], counting an attempt and noting the owner ARGV[4] in each.
-- What has waited long enough by ARGV[1], delayed or left by its owner, becomes ready first. KEYS[3] gets what is no
-- job, or cannot be one any more. A job past its time to live is dropped. Times are in milliseconds; ARGV[5] is the width of a priority.
-- Returns when the next job is due, '' where none waits, and then the jobs taken.
local now, wanted, width = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[5])

local function parts(job)
  return job:match('^(%S+) (%-?%d+) (%d+) (%d+) (%d+) %S+ (.*)$')
end

local function discard(job)
  redis.call('ZADD', KEYS[3], ARGV[1], job)
end

local first = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
local due = first[2] or ''
if first[2] and tonumber(first[2]) <= now then
  local found = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[1], 'WITHSCORES', 'LIMIT', 0, 100)
  local left, returned = {}, {}
  for place = 1, #found, 2 do
    local id, priority, enqueued, expires, attempts, payload = parts(found[place])
    left[#left + 1] = found[place]
    if id and tonumber(attempts) < 1000 then
      returned[#returned + 1] = string.format('%.0f', (100 - tonumber(priority)) * width + tonumber(found[place + 1]))
      returned[#returned + 1] = table.concat({id, priority, enqueued, expires, attempts, '-', payload}, ' ')
    else
      discard(found[place])
    end
  end
  redis.call('ZREM', KEYS[2], unpack(left))
  if #returned > 0 then
    redis.call('ZADD', KEYS[1], unpack(returned))
  end
end

local taken, placed = {due}, {}
while #taken <= wanted do
  local popped = redis.call('ZPOPMIN', KEYS[1], wanted + 1 - #taken)
  for place = 1, #popped, 2 do
    local id, priority, enqueued, expires, attempts, payload = parts(popped[place])
    if not id then
      discard(popped[place])
    elseif expires == '0' or tonumber(expires) > now then
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
