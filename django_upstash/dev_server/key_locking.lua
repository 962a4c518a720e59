-- Around a script that asked for key locking: @source@ is the script, @last@ its last line, @sha@ the SHA it is called by.
-- The script comes first, on its own lines, and sees none of these names.
local body = function(redis) @source@
end
local declared = {}
for _, key in ipairs(KEYS) do declared[key] = true end

local function refusal(...)
  local name = string.upper(tostring((...)))
  if name == 'FLUSHALL' or name == 'FLUSHDB' then
    return "ERR " .. name .. " is not allowed in Lua scripts when 'allow-key-locking' flag is set"
  end
  local keys = redis.pcall('COMMAND', 'GETKEYS', ...)
  for _, key in ipairs(keys) do
    if not declared[key] then
      return "ERR Dynamic keys are not allowed in Lua scripts when 'allow-key-locking' flag is set. Key was: " .. key
    end
  end
end

local locked = setmetatable({
  call = function(...)
    local text = refusal(...)
    if text then error({err = text}, 0) end
    return redis.call(...)
  end,
  pcall = function(...)
    local text = refusal(...)
    if text then return {err = text} end
    return redis.pcall(...)
  end,
}, {__index = redis})

-- The innermost line of the script itself; a tail call leaves none.
local function position()
  for level = 4, 20 do
    local _, where = pcall(error, '', level)
    local line = tonumber(string.match(where, '^user_script:(%d+): $'))
    if line and line <= @last@ then return ' script: @sha@, on @user_script:' .. line .. '.' end
  end
  return ''
end

local _, result = xpcall(function() return body(locked) end, function(failure)
  local text = type(failure) == 'table' and failure.err or 'ERR ' .. tostring(failure)
  return {err = text .. position()}
end)
return result
