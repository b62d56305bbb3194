#!lua
-- ADD: adds to the number that the value is, and appends its record. The server adds (in a field of
-- the mark's hash, for that moment): it knows 64 bits, Lua does not.
-- KEYS: mark, value, lease, fence, hold, log. ARGV: record, log, channel, log_max; hold_ms,
-- fence, fence_ms; delta; of a new value: ttl_ms, and its three parts around the head.
-- @include mark.inc.lua
-- @include value.inc.lua
-- @include born.inc.lua
-- @include append.inc.lua
-- @include settle.inc.lua
local value = redis.call('GET', KEYS[2])
if value and (string.sub(value, 5, 12) ~= c[1] or string.sub(value, 2, 2) == 'n') then
    value = false  -- void, or known not to exist
end
local begins = value and struct.unpack('>I2', string.sub(value, 3, 4))
local number = value and string.sub(value, begins + 1) or '0'
if #number > 20 then
    return {'WRONG_TYPE', c[1], c[2], c[3]}
end
redis.call('HSET', KEYS[1], 'x', number)
local sum = redis.pcall('HINCRBY', KEYS[1], 'x', ARGV[8])
number = redis.call('HGET', KEYS[1], 'x')
redis.call('HDEL', KEYS[1], 'x')
if type(sum) == 'table' then
    return {string.find(sum.err, 'overflow') and 'OUT_OF_RANGE' or 'WRONG_TYPE', c[1], c[2], c[3]}
end
if not append(KEYS[1], c, KEYS[6], ARGV[1], ARGV[2], ARGV[3], ARGV[4]) then
    return {'NO_EPOCH'}
end
settle(KEYS[3], KEYS[4], KEYS[5], ARGV[5], ARGV[6], ARGV[7])
if value then
    local what = string.sub(value, 1, 1) .. 'j' .. string.sub(value, 3, 4)
    redis.call('SET', KEYS[2], head(what, c[1], tonumber(c[2]), string.sub(value, 29, 36))
        .. string.sub(value, 37, begins) .. number, 'KEEPTTL')
elseif ARGV[9] == '-1' then
    redis.call('SET', KEYS[2], head(ARGV[10], c[1], tonumber(c[2]), ARGV[11]) .. ARGV[12] .. number)
else
    redis.call('SET', KEYS[2], head(ARGV[10], c[1], tonumber(c[2]), ARGV[11]) .. ARGV[12] .. number, 'PX',
        ARGV[9])
end
return {'DONE', c[1], c[2], c[3], number}
