-- GET and PEEK of a plain layout: the value is the key's bytes alone.
-- KEYS: value, lease, fence, hold. ARGV: token ('': no lease is wanted), its milliseconds, '1': a
-- lease is wanted beside the value.
local value = redis.call('GET', KEYS[1])
local got = redis.call('MGET', KEYS[2], KEYS[3], KEYS[4])
local lease, fence, held = got[1], got[2], got[3]
if value and ARGV[3] ~= '1' then
    return {'VALUE', value, redis.call('PTTL', KEYS[1]), fence, held}
end
if ARGV[1] == '' then
    return {'NONE', false, false, fence, held}
end
if not held then
    if lease and lease ~= ARGV[1] then
        return {'HELD', false, false, fence, held}
    end
    redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
end
return {'LEASE', false, false, fence, held}
