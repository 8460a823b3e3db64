-- Takes a lease if nobody holds it, or if an older incarnation of the same engine does.
-- KEYS: meta, owners, none, lease
-- ARGV: epoch, name, engine id, incarnation, token, ttl ms
-- -> "ok" | "busy", ms left | "replaced" | "wrong_epoch"
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
  return {'wrong_epoch', 0}
end
local owner = redis.call('HGET', KEYS[2], ARGV[2])
if owner then
  local engine, incarnation = string.match(owner, '^(.*):(%d+):%d+$')
  local same = engine == ARGV[3]
  local mine, theirs = tonumber(ARGV[4]), tonumber(incarnation)
  if same and theirs > mine then
    return {'replaced', 0}
  end
  local left = redis.call('PTTL', KEYS[4])
  if left > 0 and not (same and theirs < mine) then
    return {'busy', left}
  end
end
redis.call('DEL', KEYS[3])
redis.call('HSET', KEYS[2], ARGV[2], ARGV[5])
redis.call('SET', KEYS[4], ARGV[5], 'PX', ARGV[6])
return {'ok', 0}
