-- Goes on with what is there: a new epoch, and for every lane an end and a start
-- that fit its entries, with the readers' positions between them. Holes up to the
-- end are marked as accepted. Every lease is void afterwards.
-- KEYS: meta, owners, positions, usage, then per lane its stream and its lane
-- ARGV: 1 format, 2 epoch, 3 lanes, then per lane: stream, end of its position fields
local function parse(id)
  local ms, seq = string.match(id, '^(%d+)%-(%d+)$')
  return tonumber(ms), tonumber(seq)
end
local function field(e, name)
  for i = 1, #e[2], 2 do
    if e[2][i] == name then
      return e[2][i + 1]
    end
  end
  return '0'
end
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[1], 'format', ARGV[1], 'epoch', ARGV[2], 'lanes', ARGV[3], 'accepted', ARGV[2])
local positions = redis.call('HGETALL', KEYS[3])
local used = {}
for n = 1, (#KEYS - 4) / 2 do
  local stream, suffix = ARGV[2 + 2 * n], ARGV[3 + 2 * n]
  local key, info = KEYS[3 + 2 * n], KEYS[4 + 2 * n]
  local lane = redis.call('HMGET', info, 'head', 'bytes', 'events')
  local head, bytes, events = lane[1] or '0-0', tonumber(lane[2] or '0'), tonumber(lane[3] or '0')
  local floor, cut = head, bytes
  local first = redis.call('XRANGE', key, '-', '+', 'COUNT', 1)[1]
  if first then
    local last = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
    local _, headseq = parse(head)
    local _, lastseq = parse(last[1])
    if lastseq > headseq then
      head = last[1]
    end
    bytes = math.max(bytes, tonumber(field(last, 'c')))
    events = math.max(events, tonumber(field(last, 'e')))
    local ms, seq = parse(first[1])
    floor = string.format('%.0f-%.0f', ms, seq - 1)
    cut = math.max(tonumber(field(first, 'c')) - #field(first, 'f'), 0)
  end
  local _, headseq = parse(head)
  local _, floorseq = parse(floor)
  redis.call('DEL', info)
  redis.call('HSET', info, 'head', head, 'floor', floor, 'bytes', string.format('%.0f', bytes),
    'events', string.format('%.0f', events), 'cut', string.format('%.0f', cut), 'accepted', string.format('%.0f', headseq), 'rejoin', head)
  used[stream] = (used[stream] or 0) + bytes - cut
  redis.call('HSET', KEYS[4], stream, string.format('%.0f', used[stream]))
  for i = 1, #positions, 2 do
    if string.sub(positions[i], -#suffix) == suffix then
      local _, seq = parse(positions[i + 1])
      if seq > headseq then
        redis.call('HSET', KEYS[3], positions[i], head)
      elseif seq < floorseq then
        redis.call('HSET', KEYS[3], positions[i], floor)
      end
    end
  end
end
return {'ok', ARGV[2]}
