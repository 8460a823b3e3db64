-- Reads all positions and all lanes at one moment. A script, because Redis takes
-- no MULTI when it is out of memory.
-- KEYS: positions, streams, then per lane its stream and its lane   ARGV: stream of each lane
-- -> positions as field and value..., then per lane: head, floor, accepted, events, length,
--    and whether the log has such a stream
local out = {redis.call('HGETALL', KEYS[1])}
for i = 3, #KEYS, 2 do
  local lane = redis.call('HMGET', KEYS[i + 1], 'head', 'floor', 'accepted', 'events')
  for j = 1, 4 do
    lane[j] = lane[j] or ''
  end
  lane[5] = redis.call('XLEN', KEYS[i])
  lane[6] = redis.call('HEXISTS', KEYS[2], ARGV[(i - 1) / 2])
  out[#out + 1] = lane
end
return out
