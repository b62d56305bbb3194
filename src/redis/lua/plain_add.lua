#!lua
-- ADD of a plain layout, first step: the server's own INCRBY.
-- KEYS: value, lease, fence, hold. ARGV: hold_ms, fence, fence_ms; delta, ttl_ms of a new value.
-- @include value.inc.lua
-- @include settle.inc.lua
local new = redis.call('EXISTS', KEYS[1]) == 0
local sum = redis.pcall('INCRBY', KEYS[1], ARGV[4])
if type(sum) == 'table' then
    return {string.find(sum.err, 'overflow') and 'OUT_OF_RANGE' or 'WRONG_TYPE'}
end
settle(KEYS[2], KEYS[3], KEYS[4], ARGV[1], ARGV[2], ARGV[3])
if new and ARGV[5] ~= '-1' then
    redis.call('PEXPIRE', KEYS[1], ARGV[5])
end
return {'DONE', redis.call('GET', KEYS[1])}
