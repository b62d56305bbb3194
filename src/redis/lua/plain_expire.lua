#!lua flags=allow-oom
-- EXPIRE of a plain layout, first step.
-- KEYS: value, lease, fence, hold. ARGV: when, version; hold_ms, fence, fence_ms; ttl_ms.
-- @include value.inc.lua
-- @include plain_when.inc.lua
-- @include settle.inc.lua
local told = conflict(ARGV[1], ARGV[2])
if told then
    return told
end
if redis.call('EXISTS', KEYS[1]) == 0 then
    return {'NONE'}
end
settle(KEYS[2], KEYS[3], KEYS[4], ARGV[3], ARGV[4], ARGV[5])
if ARGV[6] == '-1' then
    redis.call('PERSIST', KEYS[1])
else
    redis.call('PEXPIRE', KEYS[1], ARGV[6])
end
return {'DONE'}
