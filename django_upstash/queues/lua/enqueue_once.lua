-- Puts jobs into KEYS[1], ready, or KEYS[2], delayed, and wakes as many waiting workers by KEYS[3]; each only where its
-- own key, KEYS[4] and on, is new. That key is then kept for ARGV[1] milliseconds.
-- From ARGV[2] on come the value of that key, the place (1 or 2), the score and the job of each. A call that is
-- repeated finds its own value, which is nobody else's, and answers as it did before.
-- Returns 1 for each job that this call has put there, and 0 for those that were there before.
local placed, answers = {{}, {}}, {}
for number = 1, #KEYS - 3 do
  local key, place = KEYS[number + 3], 4 * number - 2
  local is_new = redis.call('SET', key, ARGV[place], 'NX', 'PX', ARGV[1])
  if is_new then
    local into = placed[tonumber(ARGV[place + 1])]
    into[#into + 1] = ARGV[place + 2]
    into[#into + 1] = ARGV[place + 3]
  end
  answers[number] = (is_new or redis.call('GET', key) == ARGV[place]) and 1 or 0
end
for number = 1, 2 do
  if #placed[number] > 0 then
    redis.call('ZADD', KEYS[number], 'NX', unpack(placed[number]))
  end
end
local wakes = {}
for number = 1, math.min((#placed[1] + #placed[2]) / 2, 50) do
  wakes[2 * number - 1], wakes[2 * number] = '0', tostring(number)
end
if #wakes > 0 then
  redis.call('ZADD', KEYS[3], unpack(wakes))
end
return answers
