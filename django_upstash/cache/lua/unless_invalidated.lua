-- Runs a command on KEYS[1], and first removes what is stored there where a tag of it has been invalidated.
-- ARGV[1]: the tags that the caller read there, '' for none yet; KEYS[2] and on: their records, ARGV[2] of them.
-- ARGV[3] and on: the command without its key. Returns its reply; {tags} where the value has others than ARGV[1].
local beginning = redis.pcall('GETRANGE', KEYS[1], 0, 4095)
local tags = type(beginning) == 'string' and string.match(beginning, '^~e1:%d*:%d*:([%w_,=-]+)\n')
if tags then
  if tags ~= ARGV[1] then
    return {tags}
  end
  local versions = redis.call('MGET', unpack(KEYS, 2, 1 + ARGV[2]))
  local number = 0
  for version in string.gmatch(tags, '=([^,]*)') do
    number = number + 1
    if versions[number] ~= version then
      redis.call('DEL', KEYS[1])
      break
    end
  end
end
return redis.pcall(ARGV[3], KEYS[1], unpack(ARGV, 4))
