-- Adds numbers to the counts in KEYS[1], lines of a name and a number each, and lets it live ARGV[1] milliseconds.
-- ARGV[3] and on are a name and a number in turns. Of the names that begin with 'top/', the ARGV[2] largest are kept.
local counts, top, lines = {}, {}, {}
for name, count in (redis.call('GET', KEYS[1]) or ''):gmatch('(%S+) (%d+)\n') do
  counts[name] = tonumber(count)
end
for place = 3, #ARGV, 2 do
  counts[ARGV[place]] = (counts[ARGV[place]] or 0) + tonumber(ARGV[place + 1])
end
for name, count in pairs(counts) do
  if name:sub(1, 4) == 'top/' then
    top[#top + 1] = name
  else
    lines[#lines + 1] = string.format('%s %.0f\n', name, count)
  end
end
table.sort(top, function(one, other)
  if counts[one] == counts[other] then
    return one < other
  end
  return counts[one] > counts[other]
end)
for place = 1, math.min(#top, tonumber(ARGV[2])) do
  lines[#lines + 1] = string.format('%s %.0f\n', top[place], counts[top[place]])
end
redis.call('SET', KEYS[1], table.concat(lines), 'PX', ARGV[1])
return #lines
