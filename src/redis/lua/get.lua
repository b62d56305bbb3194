-- GET and PEEK: the value, or a lease where there is none.
-- KEYS: mark, value, lease, fence, hold. ARGV: token ('': no lease is wanted), its milliseconds, '1':
-- a lease is wanted beside the value.
-- Not refused as a whole where memory is full: what is there can be read all the same.
-- @include mark.inc.lua
-- @include there.inc.lua
local got = redis.call('MGET', KEYS[2], KEYS[3], KEYS[4], KEYS[5])
local value, lease, fence, held = got[1], got[2], got[3], got[4]
if value and string.sub(value, 5, 12) ~= c[1] then
    value = false
end
if value and ARGV[3] ~= '1' then
    return there('VALUE', value, fence, held)
end
if ARGV[1] == '' then
    return {'NONE', c[1], c[2], c[3], false, false, false, false, fence, held}
end
if not held then
    local mine = ARGV[1] .. c[1]
    if lease and lease ~= mine and string.sub(lease, 9) == c[1] then
        return {'HELD', c[1], c[2], c[3], false, false, false, false, fence, held}
    end
    redis.call('SET', KEYS[3], mine, 'PX', ARGV[2])
end
return {'LEASE', c[1], c[2], c[3], false, false, false, false, fence, held}
