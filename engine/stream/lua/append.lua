-- Appends one frame to a lane, once, if the lease holds, the log is the one that is
-- meant, none of the identities is known and the stream has room. XADD is the first
-- write, so that a Redis that is out of memory refuses all of it or nothing.
-- KEYS: meta, owners, usage, lane stream, lane, buckets, bucket 0, bucket 1
-- ARGV: 1 epoch, 2 lease name, 3 token, 4 stream, 5 limit of the stream in bytes,
--       6 newest frame number known to the caller, 7 frame, 8 events, 9 cost in bytes,
--       10 append number and digest, 11 source, 12 window ms, 13 identities, 16 bytes each
-- -> "ok", entry id | "lost_lease" | "wrong_epoch" | "behind", head | "full" | "known", index...
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
  return {'wrong_epoch'}
end
if redis.call('HGET', KEYS[2], ARGV[2]) ~= ARGV[3] then
  return {'lost_lease'}
end
local mark = 'append:' .. ARGV[2]
local lane = redis.call('HMGET', KEYS[5], 'head', 'bytes', 'events', mark)
local this = ARGV[3] .. ' ' .. ARGV[10] .. ' '
if lane[4] and string.sub(lane[4], 1, #this) == this then
  return {'ok', string.sub(lane[4], #this + 1)}
end
local headms, headseq = string.match(lane[1] or '0-0', '^(%d+)%-(%d+)$')
headms, headseq = tonumber(headms), tonumber(headseq)
if headseq < tonumber(ARGV[6]) then
  return {'behind', lane[1] or '0-0'}
end
if tonumber(redis.call('HGET', KEYS[3], ARGV[4]) or '0') >= tonumber(ARGV[5]) then
  return {'full'}
end

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local all = ARGV[13]
local slot, since
local lists = {}
if #all > 0 then
  local current = redis.call('HGET', KEYS[6], ARGV[11])
  if current then
    slot, since = string.match(current, '^(%d) (%d+)$')
    slot, since = tonumber(slot), tonumber(since)
  else
    slot, since = 0, now
  end
  local known = {'known'}
  for from = 1, #all, 8000 do -- 500 identities a call, well below Lua's stack
    local list = {}
    for at = from, math.min(from + 7999, #all), 16 do
      list[#list + 1] = string.sub(all, at, at + 15)
    end
    local a = redis.call('SMISMEMBER', KEYS[7], unpack(list))
    local b = redis.call('SMISMEMBER', KEYS[8], unpack(list))
    for i = 1, #list do
      if a[i] == 1 or b[i] == 1 then
        known[#known + 1] = (from - 1) / 16 + i - 1
      end
    end
    lists[#lists + 1] = list
  end
  if #known > 1 then
    return known
  end
end

if now < headms then
  now = headms
end
local id = string.format('%.0f-%.0f', now, headseq + 1)
local bytes = tonumber(lane[2] or '0') + tonumber(ARGV[9])
local events = tonumber(lane[3] or '0') + tonumber(ARGV[8])
bytes, events = string.format('%.0f', bytes), string.format('%.0f', events)
redis.call('XADD', KEYS[4], id, 'f', ARGV[7], 'n', ARGV[8], 'c', bytes, 'e', events)
redis.call('HSET', KEYS[5], 'head', id, 'bytes', bytes, 'events', events, mark, this .. id)
redis.call('HINCRBY', KEYS[3], ARGV[4], ARGV[9])
if #all > 0 then
  local fresh = since
  if now - since >= tonumber(ARGV[12]) then
    slot, fresh = 1 - slot, now
    redis.call('UNLINK', KEYS[7 + slot])
  end
  for i = 1, #lists do
    redis.call('SADD', KEYS[7 + slot], unpack(lists[i]))
  end
  redis.call('HSET', KEYS[6], ARGV[11], string.format('%.0f %.0f', slot, fresh))
end
return {'ok', id}
