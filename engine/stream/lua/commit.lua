-- Moves a reader's position over one unit and stores everything that the unit made,
-- or does nothing and says why. All checks come before the first write. A commit
-- that appends nothing starts with a write that Redis allows when it is out of
-- memory, so that draining goes on; one that appends starts with XADD, which Redis
-- then refuses as a whole.
-- KEYS: meta, owners, lease, positions, usage, dead letters, dead letter index, blocked,
--       blockedby, then per output lane its stream and its lane, then one per node with state
-- ARGV: 1 epoch, 2 lease name, 3 token, 4 ttl ms, 5 position field, 6 after, 7 last,
--       8 output lanes, 9 outputs, 10 dead letters, 11 state changes, 12 releases, then
--       lanes and frames as outputs.lua has them; letters as letters.lua has them;
--       per state change: number of its key, field, "1" and value or "0" and "";
--       per release: blocked field, events that do not block it any more
-- -> "ok", head of each output lane | "already" | "lost_lease" | "gap", position |
--    "wrong_epoch" | "full" | "behind", head | "unblocked": a letter waits for nothing
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

local nlanes, nout, ndead, nstate, nfree = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])
local at = 13
local lanes, refusal
lanes, at, refusal = open_lanes(nlanes, 10, at, KEYS[5])
if refusal then
  return refusal
end
if ndead > 0 and not still_blocked(ndead, at + 4 * nout, KEYS[8]) then
  return {'unblocked'}
end

if nout == 0 then
  redis.call('PEXPIRE', KEYS[3], ARGV[4])
end
local answer = {'ok'}
at = append_frames(lanes, nout, at, KEYS[5], answer)
if ndead > 0 then
  at = store_letters(ndead, at, {usage = KEYS[5], dead = KEYS[6], index = KEYS[7], blocked = KEYS[8], blockedby = KEYS[9]})
end
for i = 1, nstate do
  local key = KEYS[9 + 2 * nlanes + tonumber(ARGV[at])]
  if ARGV[at + 2] == '1' then
    redis.call('HSET', key, ARGV[at + 1], ARGV[at + 3])
  else
    redis.call('HDEL', key, ARGV[at + 1])
  end
  at = at + 4
end
for i = 1, nfree do
  unblock(KEYS[8], KEYS[9], ARGV[at], tonumber(ARGV[at + 1]))
  at = at + 2
end
redis.call('HSET', KEYS[4], ARGV[5], ARGV[7])
return answer
