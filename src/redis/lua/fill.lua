#!lua
-- FILL: stores what was loaded under a lease, if that is still there. (Under a hold there is none: the
-- change that began it took the lease, and GET gives no other.)
-- KEYS: mark, value, lease, fence. ARGV: token, ttl_ms ('0': only gives the lease back, '-1': no
-- end), the value in three parts around its head: what, source version, rest.
-- @include mark.inc.lua
-- @include value.inc.lua
-- @include born.inc.lua
local got = redis.call('MGET', KEYS[3], KEYS[4])
local lease, fence = got[1], got[2]
if lease ~= ARGV[1] .. c[1] then
    return {'REFUSED', c[1], c[2], c[3]}
end
redis.call('DEL', KEYS[3])
if ARGV[2] == '0' then
    return {'DONE', c[1], c[2], c[3]}
end
if fence and older(ARGV[4], fence) then
    return {'REFUSED', c[1], c[2], c[3]}
end
if ARGV[4] ~= NONE then
    local there = redis.call('GETRANGE', KEYS[2], 0, 35)
    if string.sub(there, 5, 12) == c[1] and older(ARGV[4], string.sub(there, 29, 36)) then
        return {'REFUSED', c[1], c[2], c[3]}
    end
end
-- Fills raise no sequence: their versions are numbers of their own, above 2^52.
local version = 4503599627370496 + redis.call('HINCRBY', KEYS[1], 'f', 1)
local value = head(ARGV[3], c[1], version, ARGV[4]) .. ARGV[5]
if ARGV[2] == '-1' then
    redis.call('SET', KEYS[2], value)
else
    redis.call('SET', KEYS[2], value, 'PX', ARGV[2])
end
return {'DONE', c[1], c[2], c[3]}
