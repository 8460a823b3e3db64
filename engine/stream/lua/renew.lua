-- Renews every lease of this engine in one step. A lease that ran out while nobody
-- took it is simply held on to: the owner is what fences, the time only tells
-- others when they may take over.
-- KEYS: meta, owners, lease...   ARGV: epoch, ttl ms, name and token of each lease
-- -> per lease: "ok", or its present owner ("" if none); one "wrong_epoch"
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
  return {'wrong_epoch'}
end
local out = {}
for i = 3, #KEYS do
  local name, token = ARGV[2 * i - 3], ARGV[2 * i - 2]
  local owner = redis.call('HGET', KEYS[2], name)
  if owner == token then
    if redis.call('PEXPIRE', KEYS[i], ARGV[2]) == 0 then
      redis.call('SET', KEYS[i], token, 'PX', ARGV[2])
    end
    out[#out + 1] = 'ok'
  else
    out[#out + 1] = owner or ''
  end
end
return out
