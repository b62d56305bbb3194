#!lua flags=allow-oom
-- DROP of a plain layout, first step.
-- KEYS: value, lease, fence, hold. ARGV: when, version; hold_ms, fence, fence_ms.
-- @include value.inc.lua
-- @include plain_when.inc.lua
-- @include settle.inc.lua
local told = conflict(ARGV[1], ARGV[2])
if told then
    return told
end
settle(KEYS[2], KEYS[3], KEYS[4], ARGV[3], ARGV[4], ARGV[5])
return {'DONE', redis.call('UNLINK', KEYS[1]) == 1 and '1'}
