-- Names streams. Runs when Redis is out of memory too.
-- KEYS: meta, streams, none   ARGV: epoch, format, stream...   -> "ok" | "wrong_epoch"
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
  return 'wrong_epoch'
end
redis.call('DEL', KEYS[3])
for i = 3, #ARGV do
  redis.call('HSETNX', KEYS[2], ARGV[i], ARGV[2])
end
return 'ok'
