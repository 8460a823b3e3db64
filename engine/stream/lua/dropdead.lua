-- Takes dead letters out. A letter that is not there any more counts as nothing.
-- XDEL is the first write: Redis allows it when it is out of memory.
-- KEYS: meta, usage, dead letters, dead letter index, blocked, blockedby
-- ARGV: epoch, number of letters, then per letter: entry id, index field, cost in bytes,
--       its blocked field or "", its redrive field or ""
-- -> "ok", number dropped | "wrong_epoch"
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
  return {'wrong_epoch', 0}
end
local dropped = 0
for i = 1, tonumber(ARGV[2]) do
  local at = 5 * i - 2
  if redis.call('XDEL', KEYS[3], ARGV[at]) == 1 then
    if redis.call('HGET', KEYS[4], ARGV[at + 1]) == ARGV[at] then
      redis.call('HDEL', KEYS[4], ARGV[at + 1])
    end
    redis.call('HINCRBY', KEYS[2], '!dead', -tonumber(ARGV[at + 2]))
    unblock(KEYS[5], KEYS[6], ARGV[at + 3], 1)
    unblock(KEYS[5], KEYS[6], ARGV[at + 4], 1)
    dropped = dropped + 1
  end
end
return {'ok', dropped}
