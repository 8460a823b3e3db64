-- Takes dead letters out and appends their events as frames, in one step, or does
-- nothing and says why. XADD is the first write: Redis refuses all or nothing of it
-- when it is out of memory. What blocks a key goes on to do so until it was driven.
-- KEYS: meta, usage, dead letters, dead letter index, blocked, blockedby, then per lane
--       its stream and its lane
-- ARGV: 1 epoch, 2 lanes, 3 frames, 4 letters, lanes and frames as outputs.lua has them,
--       then per letter: entry id, index field, cost in bytes, its redrive field or "",
--       its blocked field or "", how many events fewer block it
-- -> "ok", head of each lane | "gone", id of a letter that is not there |
--    "wrong_epoch" | "full" | "behind", head
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
  return {'wrong_epoch'}
end
local nlanes, nframes, nletters = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local first = #ARGV - 6 * nletters
for i = 1, nletters do
  local id = ARGV[first + 6 * i - 5]
  if #redis.call('XRANGE', KEYS[3], id, id) == 0 then
    return {'gone', id}
  end
end
local lanes, at, refusal = open_lanes(nlanes, 7, 5, KEYS[2])
if refusal then
  return refusal
end
local answer = {'ok'}
at = append_frames(lanes, nframes, at, KEYS[2], answer)
for i = 1, nletters do
  redis.call('XDEL', KEYS[3], ARGV[at])
  if redis.call('HGET', KEYS[4], ARGV[at + 1]) == ARGV[at] then
    redis.call('HDEL', KEYS[4], ARGV[at + 1])
  end
  redis.call('HINCRBY', KEYS[2], '!dead', -tonumber(ARGV[at + 2]))
  unblock(KEYS[5], KEYS[6], ARGV[at + 3], 1)
  if ARGV[at + 5] ~= '0' then
    unblock(KEYS[5], KEYS[6], ARGV[at + 4], tonumber(ARGV[at + 5]))
  end
  at = at + 6
end
return answer
