#!lua
-- SET of a plain layout, first step.
-- KEYS: value, lease, fence, hold. ARGV: when, version; hold_ms, fence, fence_ms; ttl_ms, source
-- version, the bytes.
-- @include value.inc.lua
-- @include plain_when.inc.lua
-- @include settle.inc.lua
local told = conflict(ARGV[1], ARGV[2])
if told then
    return told
end
if ARGV[7] ~= NONE then
    local fence = redis.call('GET', KEYS[3])
    if fence and older(ARGV[7], fence) then
        return {'REFUSED'}
    end
end
settle(KEYS[2], KEYS[3], KEYS[4], ARGV[3], ARGV[4], ARGV[5])
if ARGV[6] == '-1' then
    redis.call('SET', KEYS[1], ARGV[8])
elseif ARGV[6] == '0' then
    redis.call('DEL', KEYS[1])
else
    redis.call('SET', KEYS[1], ARGV[8], 'PX', ARGV[6])
end
return {'DONE'}
