-- Puts a reader's position where the reader's own store says that it stands. That
-- must be an entry of this lane, or the last that was trimmed: a log that was put back
-- to an older state gives the numbers of lost entries to others, at later times.
-- KEYS: meta, owners, lease, positions, lane, lane stream
-- ARGV: epoch, lease name, token, ttl ms, position field, to, epoch of to ("" for the start)
-- -> "ok", position | "lost_lease" | "wrong_epoch" | "foreign" | "behind", head | "trimmed", floor
--    | "other", to
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
  return {'wrong_epoch', ''}
end
if redis.call('HGET', KEYS[2], ARGV[2]) ~= ARGV[3] then
  return {'lost_lease', ''}
end
local lane = redis.call('HMGET', KEYS[5], 'head', 'floor', 'rejoin')
local head, floor, rejoin = lane[1] or '0-0', lane[2] or '0-0', lane[3] or '0-0'
local function number(id)
  return tonumber(string.match(id, '%-(%d+)$'))
end
local to = ARGV[6]
if ARGV[7] == '' then
  to = floor
elseif ARGV[7] ~= ARGV[1] then -- from before a loss that was accepted: the nearest place that exists
  if redis.call('HGET', KEYS[1], 'accepted') ~= ARGV[1] then
    return {'foreign', ''}
  end
  local shared = redis.call('XREVRANGE', KEYS[6], to, '-', 'COUNT', 1)[1]
  to = shared and shared[1] or floor
  if number(to) > number(rejoin) then -- came after the loss, at a time that had been before
    to = rejoin
  end
  if number(to) < number(floor) then
    to = floor
  end
end
if number(to) > number(head) then
  return {'behind', head}
end
if number(to) < number(floor) then
  return {'trimmed', floor}
end
if to ~= floor and to ~= rejoin and #redis.call('XRANGE', KEYS[6], to, to) == 0 then
  return {'other', to}
end
redis.call('PEXPIRE', KEYS[3], ARGV[4])
redis.call('HSET', KEYS[4], ARGV[5], to)
return {'ok', to}
