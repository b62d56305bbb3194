#!lua
-- FILL of a plain layout. What has no bytes (it is known not to exist) is not stored.
-- KEYS: value, lease, fence, hold. ARGV: token, ttl_ms ('0': only gives the lease back, '-1': no end),
-- source version, the bytes.
-- @include value.inc.lua
local got = redis.call('MGET', KEYS[2], KEYS[3])
local lease, fence = got[1], got[2]
if lease ~= ARGV[1] then
    return {'REFUSED'}
end
redis.call('DEL', KEYS[2])
if ARGV[2] == '0' then
    return {'DONE'}
end
if fence and older(ARGV[3], fence) then
    return {'REFUSED'}
end
if ARGV[2] == '-1' then
    redis.call('SET', KEYS[1], ARGV[4])
else
    redis.call('SET', KEYS[1], ARGV[4], 'PX', ARGV[2])
end
return {'DONE'}
