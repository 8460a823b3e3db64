-- Gives a lease back, unless another owner has it by now.
-- KEYS: owners, lease   ARGV: name, token   -> 1 released, 0 not ours
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then
  return 0
end
redis.call('DEL', KEYS[2])
redis.call('HDEL', KEYS[1], ARGV[1])
return 1
