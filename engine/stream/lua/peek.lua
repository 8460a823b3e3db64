-- Looks at the first entry behind each of some positions, without its frame.
-- KEYS: lane stream...   ARGV: position...   -> per position: id, events, events up to and with it; or ""
local out = {}
for i = 1, #KEYS do
  local e = redis.call('XRANGE', KEYS[i], '(' .. ARGV[i], '+', 'COUNT', 1)[1]
  if e then
    local f = {}
    for j = 1, #e[2], 2 do
      f[e[2][j]] = e[2][j + 1]
    end
    out[i] = {e[1], f['n'] or '0', f['e'] or '0'}
  else
    out[i] = {'', '0', '0'}
  end
end
return out
