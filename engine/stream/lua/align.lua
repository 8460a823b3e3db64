-- Puts a reader's position where the reader's own store says that it stands.
-- KEYS: meta, owners, lease, positions, lane
-- ARGV: epoch, lease name, token, ttl ms, position field, to
-- -> "ok" | "lost_lease" | "wrong_epoch" | "behind", head | "trimmed", floor
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
  return {'wrong_epoch', ''}
end
if redis.call('HGET', KEYS[2], ARGV[2]) ~= ARGV[3] then
  return {'lost_lease', ''}
end
local lane = redis.call('HMGET', KEYS[5], 'head', 'floor')
local head, floor = lane[1] or '0-0', lane[2] or '0-0'
local function number(id)
  return tonumber(string.match(id, '%-(%d+)$'))
end
if number(ARGV[6]) > number(head) then
  return {'behind', head}
end
if number(ARGV[6]) < number(floor) then
  return {'trimmed', floor}
end
redis.call('PEXPIRE', KEYS[3], ARGV[4])
redis.call('HSET', KEYS[4], ARGV[5], ARGV[6])
return {'ok', ''}
