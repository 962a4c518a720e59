-- Returns how many jobs are ready (KEYS[1]), waiting (KEYS[2]) and dead (KEYS[3]), how many of the waiting ones have an
-- owner, looking at the ARGV[2] that are due first, and since when the oldest ready job has been ready, or ''.
-- ARGV[1] is the width of a priority: a score is the rank of the priority times it, plus milliseconds.
local width, most = tonumber(ARGV[1]), tonumber(ARGV[2])

local owned = 0
for start = 0, most - 1, 500 do
  local jobs = redis.call('ZRANGE', KEYS[2], start, math.min(start + 500, most) - 1)
  for _, job in ipairs(jobs) do
    local note = job:match('^%S+ %-?%d+ %d+ %d+ %d+ (%S+) ')
    if note and note ~= '-' then
      owned = owned + 1
    end
  end
  if #jobs < 500 then
    break
  end
end

-- Scores that nobody here has written, below the first rank or above the last, are passed over.
local oldest
local from, last = 0, string.format('(%.0f', 201 * width)
while true do
  local first = redis.call('ZRANGEBYSCORE', KEYS[1], string.format('%.0f', from), last, 'WITHSCORES', 'LIMIT', 0, 1)
  if #first == 0 then
    break
  end
  local score = tonumber(first[2])
  oldest = math.min(oldest or score % width, score % width)
  from = (math.floor(score / width) + 1) * width
end

local ready, waiting = redis.call('ZCARD', KEYS[1]), redis.call('ZCARD', KEYS[2])
return {ready, waiting, redis.call('ZCARD', KEYS[3]), owned, oldest and string.format('%.0f', oldest) or ''}
