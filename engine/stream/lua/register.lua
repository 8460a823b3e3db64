-- Gives a reader its position in every lane of a stream: at the start of what is
-- still there, or where it is told, if that is later. Positions that exist stay. Runs
-- when Redis is out of memory too.
-- KEYS: meta, positions, readers, none, lane...
-- ARGV: epoch, reader field, kind, then per lane: position field, entry id or ""
-- -> "ok" | "wrong_epoch"
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
  return 'wrong_epoch'
end
redis.call('DEL', KEYS[4])
local function number(id)
  return tonumber(string.match(id, '%-(%d+)$') or '-1')
end
for i = 5, #KEYS do
  local at, told = redis.call('HGET', KEYS[i], 'floor') or '0-0', ARGV[2 * i - 5]
  if number(told) > number(at) then
    at = told
  end
  redis.call('HSETNX', KEYS[2], ARGV[2 * i - 6], at)
end
redis.call('HSET', KEYS[3], ARGV[2], ARGV[3])
return 'ok'
