-- Moves jobs from KEYS[1] to KEYS[2], each under a new score and in a new form, unless they are not there any more.
-- ARGV is the old form, the score and the new form in turns. Where KEYS[3] is given, it wakes as many waiting workers.
-- Returns how many were moved.
local placed = {}
for place = 1, #ARGV, 3 do
  if redis.call('ZREM', KEYS[1], ARGV[place]) == 1 then
    placed[#placed + 1] = ARGV[place + 1]
    placed[#placed + 1] = ARGV[place + 2]
  end
end
if #placed > 0 then
  redis.call('ZADD', KEYS[2], unpack(placed))
  if KEYS[3] then
    local wakes = {}
    for number = 1, math.min(#placed / 2, 50) do
      wakes[2 * number - 1], wakes[2 * number] = '0', tostring(number)
    end
    redis.call('ZADD', KEYS[3], unpack(wakes))
  end
end
return #placed / 2
