-- Stores dead letters that are not there yet. Runs when Redis is out of memory too.
-- KEYS: meta, owners, lease, usage, dead letters, dead letter index, blocked, blockedby
-- ARGV: epoch, lease name, token, ttl ms, number of letters, then letters as
--       letters.lua has them
-- -> "ok", number stored | "lost_lease" | "wrong_epoch" | "unblocked"
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
  return {'wrong_epoch', 0}
end
if redis.call('HGET', KEYS[2], ARGV[2]) ~= ARGV[3] then
  return {'lost_lease', 0}
end
local n = tonumber(ARGV[5])
if not still_blocked(n, 6, KEYS[7]) then
  return {'unblocked', 0}
end
redis.call('PEXPIRE', KEYS[3], ARGV[4])
local _, stored = store_letters(n, 6, {usage = KEYS[4], dead = KEYS[5], index = KEYS[6], blocked = KEYS[7], blockedby = KEYS[8]})
return {'ok', stored}
