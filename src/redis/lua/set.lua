#!lua
-- SET: stores a caller's value and appends its record.
-- KEYS: mark, value, lease, fence, hold, log. ARGV: when, version, epoch; record, log, channel,
-- log_max; hold_ms, fence, fence_ms; ttl_ms, and the value in three parts around its head.
-- @include mark.inc.lua
-- @include value.inc.lua
-- @include born.inc.lua
-- @include there.inc.lua
-- @include when.inc.lua
-- @include append.inc.lua
-- @include settle.inc.lua
if conflict(ARGV[1], ARGV[2], ARGV[3]) then
    return told()
end
if ARGV[13] ~= NONE then
    local fence = redis.call('GET', KEYS[4])
    if (fence and older(ARGV[13], fence)) or (found and older(ARGV[13], string.sub(found, 29, 36))) then
        return {'REFUSED', c[1], c[2], c[3]}
    end
end
if not append(KEYS[1], c, KEYS[6], ARGV[4], ARGV[5], ARGV[6], ARGV[7]) then
    return {'NO_EPOCH'}
end
settle(KEYS[3], KEYS[4], KEYS[5], ARGV[8], ARGV[9], ARGV[10])
local value = head(ARGV[12], c[1], tonumber(c[2]), ARGV[13]) .. ARGV[14]
if ARGV[11] == '-1' then
    redis.call('SET', KEYS[2], value)
elseif ARGV[11] == '0' then
    redis.call('DEL', KEYS[2])
else
    redis.call('SET', KEYS[2], value, 'PX', ARGV[11])
end
return {'DONE', c[1], c[2], c[3]}
