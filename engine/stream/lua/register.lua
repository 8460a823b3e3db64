-- Gives a reader its position in every lane of a stream: at the start of what is
-- still there. Positions that exist stay. Runs when Redis is out of memory too.
-- KEYS: meta, positions, readers, none, lane...
-- ARGV: epoch, reader field, kind, position field...
-- -> "ok" | "wrong_epoch"
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
  return 'wrong_epoch'
end
redis.call('DEL', KEYS[4])
for i = 5, #KEYS do
  redis.call('HSETNX', KEYS[2], ARGV[i - 1], redis.call('HGET', KEYS[i], 'floor') or '0-0')
end
redis.call('HSET', KEYS[3], ARGV[2], ARGV[3])
return 'ok'
