-- How scripts store and remove dead letters; stands before theirs. A letter of a node
-- with strict order blocks its key there: `blocked` counts, by "node|key", the letters
-- and the events that are being driven again, and by "node|key|redrive" the letters
-- that the redrive has refused again; `blockedby` has the id of the first event.
-- ARGV per letter: index field, cost in bytes, its blocked field or "", its redrive
--      field or "", "1" if it only waits behind another one, event id, number of
--      strings, name and value...

-- still_blocked reports whether each of n letters from ARGV[at] on that waits has
-- something to wait for. It writes nothing.
local function still_blocked(n, at, blocked)
  local fresh, waits = {}, {}
  for i = 1, n do
    local field = ARGV[at + 3]
    if field == '' then
      field = ARGV[at + 2]
    end
    if ARGV[at + 4] == '1' then
      waits[#waits + 1] = field
    elseif field ~= '' then
      fresh[field] = true
    end
    at = at + 7 + tonumber(ARGV[at + 6])
  end
  for i = 1, #waits do
    if not fresh[waits[i]] and redis.call('HEXISTS', blocked, waits[i]) == 0 then
      return false
    end
  end
  return true
end

local function block(blocked, blockedby, field, id)
  if field ~= '' then
    redis.call('HINCRBY', blocked, field, 1)
    redis.call('HSETNX', blockedby, field, id)
  end
end

local function unblock(blocked, blockedby, field, n)
  if field ~= '' and redis.call('HINCRBY', blocked, field, -n) <= 0 then
    redis.call('HDEL', blocked, field)
    redis.call('HDEL', blockedby, field)
  end
end

-- store_letters stores those of n letters from ARGV[at] on that are not there yet.
-- k names its keys. -> next argument, number stored
local function store_letters(n, at, k)
  local stored = 0
  for i = 1, n do
    local strings = tonumber(ARGV[at + 6])
    if redis.call('HEXISTS', k.index, ARGV[at]) == 0 then
      local id = redis.call('XADD', k.dead, '*', unpack(ARGV, at + 7, at + 6 + strings))
      redis.call('HSET', k.index, ARGV[at], id)
      redis.call('HINCRBY', k.usage, '!dead', ARGV[at + 1])
      block(k.blocked, k.blockedby, ARGV[at + 2], ARGV[at + 5])
      block(k.blocked, k.blockedby, ARGV[at + 3], ARGV[at + 5])
      stored = stored + 1
    end
    at = at + 7 + strings
  end
  return at, stored
end

