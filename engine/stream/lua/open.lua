-- Creates the log's meta on a fresh Redis or reads it. Written so that it also
-- runs when Redis is out of memory: the first write frees, later ones may grow.
-- KEYS: meta, owners, positions, none
-- ARGV: format, epoch if new, lanes if new, engine id
-- -> "ok" | "torn", format, epoch, lanes, incarnation
local m = redis.call('HMGET', KEYS[1], 'format', 'epoch', 'lanes')
if not m[2] then
  if redis.call('EXISTS', KEYS[2]) == 1 or redis.call('EXISTS', KEYS[3]) == 1 then
    return {'torn', '', '', '', 0}
  end
  redis.call('HSET', KEYS[1], 'format', ARGV[1], 'epoch', ARGV[2], 'lanes', ARGV[3])
  m = {ARGV[1], ARGV[2], ARGV[3]}
end
if m[1] ~= ARGV[1] then
  return {'ok', m[1], m[2], m[3], 0}
end
redis.call('DEL', KEYS[4])
return {'ok', m[1], m[2], m[3], redis.call('HINCRBY', KEYS[1], 'incarnation:' .. ARGV[4], 1)}
