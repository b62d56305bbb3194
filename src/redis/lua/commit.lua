#!lua
-- COMMIT: changes several keys in one step, or none of them where a condition does not hold.
-- KEYS: of each log its mark and itself, then of each item its value, lease, fence, hold. ARGV: how many
-- logs, channel, log_max, their numbers; then for each item ten: which of these logs (from 1), when,
-- version, epoch; act, record, ttl_ms; the value in three parts around its head.
-- All conditions first, then all records, then the values: what stops it leaves at most a record too many.
-- @include value.inc.lua
-- @include born.inc.lua
-- @include append.inc.lua
-- @include settle.inc.lua
local logs = tonumber(ARGV[1])
local marks = {}
for i = 1, logs do
    local c = redis.call('HMGET', KEYS[2 * i - 1], 'e', 's', 'n')
    if not c[1] then
        return {'NO_EPOCH'}
    end
    marks[i] = c
end
local items = {}
for i = 1, (#ARGV - 3 - logs) / 10 do
    local at, key = 3 + logs + 10 * (i - 1), 2 * logs + 4 * (i - 1)
    local item = {log = tonumber(ARGV[at + 1]), act = ARGV[at + 5], at = at, key = key}
    local when, c = ARGV[at + 2], marks[item.log]
    local found = redis.call('GETRANGE', KEYS[key + 1], 0, 19)
    found = string.sub(found, 5, 12) == c[1] and found
    item.exists = found and string.sub(found, 2, 2) ~= 'n'
    if (when == 'absent' and item.exists)
        or (when == 'version' and (not found or string.sub(found, 13, 20) ~= ARGV[at + 3]
            or ARGV[at + 4] ~= c[1])) then
        return {'CONFLICT'}
    end
    if item.act == 'expire' and not item.exists then
        item.act = 'none'
    end
    items[i] = item
end
local reply = {'DONE'}
for i, item in ipairs(items) do
    local log, c = item.log, marks[item.log]
    if item.act ~= 'none' and not append(KEYS[2 * log - 1], c, KEYS[2 * log], ARGV[item.at + 6],
        ARGV[3 + log], ARGV[2], ARGV[3]) then
        return {'NO_EPOCH'}
    end
    item.version = tonumber(c[2])
    reply[i + 1] = {c[1], c[2], c[3]}
end
for _, item in ipairs(items) do
    local value, at, c = KEYS[item.key + 1], item.at, marks[item.log]
    local ttl = ARGV[at + 7]
    if item.act ~= 'none' then
        settle(KEYS[item.key + 2], KEYS[item.key + 3], KEYS[item.key + 4], '0', '', '0')
    end
    if item.act == 'set' then
        local bytes = head(ARGV[at + 8], c[1], item.version, ARGV[at + 9]) .. ARGV[at + 10]
        if ttl == '-1' then
            redis.call('SET', value, bytes)
        else
            redis.call('SET', value, bytes, 'PX', ttl)
        end
    elseif item.act == 'drop' then
        redis.call('UNLINK', value)
    elseif item.act == 'expire' then
        redis.call('SETRANGE', value, 12, struct.pack('>I8', item.version))
        if ttl == '-1' then
            redis.call('PERSIST', value)
        else
            redis.call('PEXPIRE', value, ttl)
        end
    end
end
return reply
