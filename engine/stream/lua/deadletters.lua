-- Stores dead letters that are not there yet. Runs when Redis is out of memory too.
-- KEYS: meta, owners, lease, usage, dead letters, dead letter index
-- ARGV: epoch, lease name, token, ttl ms, number of letters, then
--       per letter: index field, cost in bytes, number of strings, name and value...
-- -> "ok", number stored | "lost_lease" | "wrong_epoch"
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
  return {'wrong_epoch', 0}
end
if redis.call('HGET', KEYS[2], ARGV[2]) ~= ARGV[3] then
  return {'lost_lease', 0}
end
redis.call('PEXPIRE', KEYS[3], ARGV[4])
local at, stored = 6, 0
for i = 1, tonumber(ARGV[5]) do
  local n = tonumber(ARGV[at + 2])
  if redis.call('HEXISTS', KEYS[6], ARGV[at]) == 0 then
    local id = redis.call('XADD', KEYS[5], '*', unpack(ARGV, at + 3, at + 2 + n))
    redis.call('HSET', KEYS[6], ARGV[at], id)
    redis.call('HINCRBY', KEYS[4], '!dead', ARGV[at + 1])
    stored = stored + 1
  end
  at = at + 3 + n
end
return {'ok', stored}
