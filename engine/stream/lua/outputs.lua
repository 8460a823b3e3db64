-- How scripts append frames to lanes that they do not own; stands before theirs.
-- ARGV per lane: stream, limit in bytes, newest frame number known;
--      per frame: number of its lane, frame, events, cost in bytes

-- open_lanes reads n lanes, whose stream and lane keys begin at KEYS[first], with the
-- arguments from ARGV[at] on. It writes nothing. -> lanes, next argument, refusal
local function open_lanes(n, first, at, usage)
  local lanes = {}
  for i = 1, n do
    local key = first + 2 * (i - 1)
    local h = redis.call('HMGET', KEYS[key + 1], 'head', 'bytes', 'events')
    local ms, seq = string.match(h[1] or '0-0', '^(%d+)%-(%d+)$')
    local lane = {
      key = key, stream = ARGV[at], ms = tonumber(ms), seq = tonumber(seq), cost = 0,
      bytes = tonumber(h[2] or '0'), events = tonumber(h[3] or '0'),
    }
    if lane.seq < tonumber(ARGV[at + 2]) then
      return lanes, at, {'behind', h[1] or '0-0'}
    end
    if tonumber(redis.call('HGET', usage, lane.stream) or '0') >= tonumber(ARGV[at + 1]) then
      return lanes, at, {'full'}
    end
    lanes[i] = lane
    at = at + 3
  end
  return lanes, at
end

-- append_frames appends n frames to lanes, with the arguments from ARGV[at] on, and
-- adds the lanes' heads to answer. -> next argument
local function append_frames(lanes, n, at, usage, answer)
  if n == 0 then
    return at
  end
  local clock = redis.call('TIME')
  local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
  for i = 1, n do
    local lane = lanes[tonumber(ARGV[at])]
    lane.ms, lane.seq = math.max(lane.ms, now), lane.seq + 1
    lane.bytes, lane.cost = lane.bytes + tonumber(ARGV[at + 3]), lane.cost + tonumber(ARGV[at + 3])
    lane.events = lane.events + tonumber(ARGV[at + 2])
    redis.call('XADD', KEYS[lane.key], string.format('%.0f-%.0f', lane.ms, lane.seq), 'f', ARGV[at + 1],
      'n', ARGV[at + 2], 'c', string.format('%.0f', lane.bytes), 'e', string.format('%.0f', lane.events))
    at = at + 4
  end
  for i = 1, #lanes do
    local lane = lanes[i]
    local head = string.format('%.0f-%.0f', lane.ms, lane.seq)
    redis.call('HSET', KEYS[lane.key + 1], 'head', head, 'bytes', string.format('%.0f', lane.bytes),
      'events', string.format('%.0f', lane.events))
    redis.call('HINCRBY', usage, lane.stream, lane.cost)
    answer[#answer + 1] = head
  end
  return at
end

