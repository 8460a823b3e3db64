-- Gives readers new places and takes others away, in one step, while those who hold
-- the leases stand still: before it everything is as it was, after it as it will be.
-- A place before what is still there becomes the start of that. Runs when Redis is
-- out of memory too.
-- KEYS: meta, owners, positions, readers, none, then the lanes of the places, then
--       keys to delete
-- ARGV: epoch, leases, readers, places, forgotten readers, forgotten places, then
--       per lease: name, token; per reader: its field, kind; per place: position field,
--       entry id; then the forgotten readers' fields and position fields
-- -> "ok" | "wrong_epoch" | "lost_lease", name
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
  return {'wrong_epoch'}
end
local leases, readers, places = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local gone, left = tonumber(ARGV[5]), tonumber(ARGV[6])
local at = 7
for i = 1, leases do
  if redis.call('HGET', KEYS[2], ARGV[at]) ~= ARGV[at + 1] then
    return {'lost_lease', ARGV[at]}
  end
  at = at + 2
end
redis.call('DEL', KEYS[5])
local function number(id)
  return tonumber(string.match(id, '%-(%d+)$') or '-1')
end
for i = 1, readers do
  redis.call('HSET', KEYS[4], ARGV[at], ARGV[at + 1])
  at = at + 2
end
for i = 1, places do
  local floor, to = redis.call('HGET', KEYS[5 + i], 'floor') or '0-0', ARGV[at + 1]
  if number(to) < number(floor) then
    to = floor
  end
  redis.call('HSET', KEYS[3], ARGV[at], to)
  at = at + 2
end
for i = 1, gone do
  redis.call('HDEL', KEYS[4], ARGV[at])
  at = at + 1
end
for i = 1, left do
  redis.call('HDEL', KEYS[3], ARGV[at])
  at = at + 1
end
for i = 6 + places, #KEYS do
  redis.call('UNLINK', KEYS[i])
end
return {'ok'}
