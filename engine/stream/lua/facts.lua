-- Reads all positions and all lanes at one moment. A script, because Redis takes
-- no MULTI when it is out of memory.
-- KEYS: positions, then per lane its stream and its lane
-- -> positions as field and value..., then per lane: head, floor, accepted, events, length
local out = {redis.call('HGETALL', KEYS[1])}
for i = 2, #KEYS, 2 do
  local lane = redis.call('HMGET', KEYS[i + 1], 'head', 'floor', 'accepted', 'events')
  for j = 1, 4 do
    lane[j] = lane[j] or ''
  end
  lane[5] = redis.call('XLEN', KEYS[i])
  out[#out + 1] = lane
end
return out
