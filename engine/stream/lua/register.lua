-- Gives a reader its position in every lane of a stream: at the start of what is
-- still there. Positions that exist stay.
-- KEYS: meta, positions, readers, lane...
-- ARGV: epoch, reader field, kind, position field...
-- -> "ok" | "wrong_epoch"
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
  return 'wrong_epoch'
end
for i = 4, #KEYS do
  redis.call('HSETNX', KEYS[2], ARGV[i], redis.call('HGET', KEYS[i], 'floor') or '0-0')
end
redis.call('HSET', KEYS[3], ARGV[2], ARGV[3])
return 'ok'
