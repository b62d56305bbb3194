#!lua flags=allow-oom
-- DROP: takes value and lease away and appends its record; where memory is full, too.
-- KEYS: mark, value, lease, fence, hold, log. ARGV: when, version, epoch; record, log, channel,
-- log_max; hold_ms, fence, fence_ms.
-- @include mark.inc.lua
-- @include value.inc.lua
-- @include there.inc.lua
-- @include when.inc.lua
-- @include append.inc.lua
-- @include settle.inc.lua
if conflict(ARGV[1], ARGV[2], ARGV[3]) then
    return told()
end
if not append(KEYS[1], c, KEYS[6], ARGV[4], ARGV[5], ARGV[6], ARGV[7]) then
    return {'NO_EPOCH'}
end
settle(KEYS[3], KEYS[4], KEYS[5], ARGV[8], ARGV[9], ARGV[10])
redis.call('UNLINK', KEYS[2])
return {'DONE', c[1], c[2], c[3], exists and '1'}
