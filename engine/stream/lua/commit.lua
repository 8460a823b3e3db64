-- Moves a reader's position over one unit and stores everything that the unit made,
-- or does nothing and says why. All checks come before the first write. A commit
-- that appends nothing starts with a write that Redis allows when it is out of
-- memory, so that draining goes on; one that appends starts with XADD, which Redis
-- then refuses as a whole.
-- KEYS: meta, owners, lease, positions, usage, dead letters, dead letter index,
--       then per output lane its stream and its lane, then one per node with state
-- ARGV: 1 epoch, 2 lease name, 3 token, 4 ttl ms, 5 position field, 6 after, 7 last,
--       8 output lanes, 9 outputs, 10 dead letters, 11 state changes, then
--       lanes and frames as outputs.lua has them;
--       per dead letter: index field, cost in bytes, number of strings, name and value...;
--       per state change: number of its key, field, "1" and value or "0" and ""
-- -> "ok", head of each output lane | "already" | "lost_lease" | "gap", position |
--    "wrong_epoch" | "full" | "behind", head
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
  return {'wrong_epoch'}
end
if redis.call('HGET', KEYS[2], ARGV[2]) ~= ARGV[3] then
  return {'lost_lease'}
end
local position = redis.call('HGET', KEYS[4], ARGV[5])
if position ~= ARGV[6] then
  local here = tonumber(string.match(position or '', '%-(%d+)$') or '-1')
  if here >= tonumber(string.match(ARGV[7], '%-(%d+)$')) then
    return {'already'}
  end
  return {'gap', position or ''}
end

local nlanes, nout, ndead, nstate = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])
local at = 12
local lanes, refusal
lanes, at, refusal = open_lanes(nlanes, 8, at, KEYS[5])
if refusal then
  return refusal
end

if nout == 0 then
  redis.call('PEXPIRE', KEYS[3], ARGV[4])
end
local answer = {'ok'}
at = append_frames(lanes, nout, at, KEYS[5], answer)
for i = 1, ndead do
  local n = tonumber(ARGV[at + 2])
  if redis.call('HEXISTS', KEYS[7], ARGV[at]) == 0 then
    local id = redis.call('XADD', KEYS[6], '*', unpack(ARGV, at + 3, at + 2 + n))
    redis.call('HSET', KEYS[7], ARGV[at], id)
    redis.call('HINCRBY', KEYS[5], '!dead', ARGV[at + 1])
  end
  at = at + 3 + n
end
for i = 1, nstate do
  local key = KEYS[7 + 2 * nlanes + tonumber(ARGV[at])]
  if ARGV[at + 2] == '1' then
    redis.call('HSET', key, ARGV[at + 1], ARGV[at + 3])
  else
    redis.call('HDEL', key, ARGV[at + 1])
  end
  at = at + 4
end
redis.call('HSET', KEYS[4], ARGV[5], ARGV[7])
return answer
