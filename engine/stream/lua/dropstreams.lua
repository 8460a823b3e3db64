-- Forgets streams with all that they hold, and states of nodes. Runs when Redis is
-- out of memory too: the first write frees some.
-- KEYS: meta, streams, usage, none, then keys to delete
-- ARGV: epoch, then streams   -> "ok" | "wrong_epoch"
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
  return 'wrong_epoch'
end
redis.call('DEL', KEYS[4])
for i = 5, #KEYS do
  redis.call('UNLINK', KEYS[i])
end
for i = 2, #ARGV do
  redis.call('HDEL', KEYS[2], ARGV[i])
  redis.call('HDEL', KEYS[3], ARGV[i])
end
return 'ok'
