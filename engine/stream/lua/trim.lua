-- Trims a lane's start: entries that every registered reader has passed and that
-- are also older, or further back, than is to be kept. The readers' positions are
-- looked at in the same step, so that none can be passed by. XTRIM is the first
-- write: it is allowed when Redis is out of memory, and then the others are.
-- KEYS: meta, positions, usage, lane stream, lane
-- ARGV: 1 epoch, 2 end of the lane's position fields, 3 stream, 4 drop entries before this ms,
--       5 bytes to keep, 6 entries to keep, 7 "MINID" or "MAXLEN"
-- -> "ok", floor | "wrong_epoch"
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
  return {'wrong_epoch', ''}
end
local function parse(id)
  local ms, seq = string.match(id, '^(%d+)%-(%d+)$')
  return tonumber(ms), tonumber(seq)
end
local lane = redis.call('HMGET', KEYS[5], 'head', 'floor', 'bytes', 'cut')
local floor = lane[2] or '0-0'
local _, floorseq = parse(floor)
local headms, headseq = parse(lane[1] or '0-0')
local pinms, pinseq = headms, headseq
local positions = redis.call('HGETALL', KEYS[2])
for i = 1, #positions, 2 do
  if string.sub(positions[i], -#ARGV[2]) == ARGV[2] then
    local ms, seq = parse(positions[i + 1])
    if seq < pinseq then
      pinms, pinseq = ms, seq
    end
  end
end
if pinseq <= floorseq then
  return {'ok', floor}
end

local cut, bytes = tonumber(lane[4] or '0'), tonumber(lane[3] or '0')
local function entry(reply)
  local e = reply[1]
  if not e then
    return nil
  end
  local ms, seq = parse(e[1])
  local sum = 0
  for i = 1, #e[2], 2 do
    if e[2][i] == 'c' then
      sum = tonumber(e[2][i + 1])
    end
  end
  return {id = e[1], ms = ms, seq = seq, sum = sum}
end
local function before(id) -- the last entry up to id
  return entry(redis.call('XREVRANGE', KEYS[4], id, '-', 'COUNT', 1))
end
local function spare(e)
  return e.ms < tonumber(ARGV[4]) or e.sum <= bytes - tonumber(ARGV[5]) or e.seq <= headseq - tonumber(ARGV[6])
end
local first = entry(redis.call('XRANGE', KEYS[4], '-', '+', 'COUNT', 1))
if not first or first.seq > pinseq or not spare(first) then
  return {'ok', floor}
end
local last = before(string.format('%.0f-%.0f', pinms, pinseq))
if not spare(last) then -- somewhere between the two
  local low, high = first.ms, last.ms
  last = first
  while low < high do
    local middle = math.floor((low + high + 1) / 2)
    local e = before(string.format('%.0f', middle))
    if e and spare(e) then
      low, last = middle, e
    else
      high = middle - 1
    end
  end
end
if ARGV[7] == 'MINID' then
  redis.call('XTRIM', KEYS[4], 'MINID', string.format('%.0f-%.0f', last.ms, last.seq + 1))
else -- exact because numbers are dense, and cheap on the embedded Redis
  redis.call('XTRIM', KEYS[4], 'MAXLEN', string.format('%.0f', headseq - last.seq))
end
redis.call('HSET', KEYS[5], 'floor', last.id, 'cut', string.format('%.0f', last.sum))
redis.call('HINCRBY', KEYS[3], ARGV[3], string.format('%.0f', cut - last.sum))
return {'ok', last.id}
