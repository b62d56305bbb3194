#!lua flags=allow-oom
-- EXPIRE: gives the value another lifetime, and with it another version (of two who decide by the same
-- lifetime one comes too late), and appends its record.
-- KEYS: mark, value, lease, fence, hold, log. ARGV: when, version, epoch; record, log, channel,
-- log_max; hold_ms, fence, fence_ms; ttl_ms.
-- @include mark.inc.lua
-- @include value.inc.lua
-- @include there.inc.lua
-- @include when.inc.lua
-- @include append.inc.lua
-- @include settle.inc.lua
if conflict(ARGV[1], ARGV[2], ARGV[3]) then
    return told()
end
if not exists then
    return {'NONE', c[1], c[2], c[3]}
end
if not append(KEYS[1], c, KEYS[6], ARGV[4], ARGV[5], ARGV[6], ARGV[7]) then
    return {'NO_EPOCH'}
end
settle(KEYS[3], KEYS[4], KEYS[5], ARGV[8], ARGV[9], ARGV[10])
redis.call('SETRANGE', KEYS[2], 12, struct.pack('>I8', tonumber(c[2])))
if ARGV[11] == '-1' then
    redis.call('PERSIST', KEYS[2])
else
    redis.call('PEXPIRE', KEYS[2], ARGV[11])
end
return {'DONE', c[1], c[2], c[3]}
