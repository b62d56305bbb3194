-- Marks, in partition 0 (and, of moves, in each): value and until by name; names in order; by until.
local M, MN, MU = KEYS[11], KEYS[12], KEYS[13]
-- 8 bytes, or nil.
local function mark_of(name)
    local there = call('HGET', M, name)
    if there then
        local ends = open('>I8', there, 9)
        return (ends == 0 or ends > now) and sub(there, 1, 8) or nil
    end
end
local function mark_drop(names)
    call('HDEL', M, unpack(names))
    call('ZREM', MN, unpack(names))
    call('ZREM', MU, unpack(names))
end
-- ends: 0: never.
local function mark_set(name, value, ends)
    call('HSET', M, name, value .. pack('>I8', ends))
    call('ZADD', MN, 0, name)
    if ends > 0 then
        call('ZADD', MU, ends, name)
    else
        call('ZREM', MU, name)
    end
    local over = call('ZRANGEBYSCORE', MU, '-inf', now, 'LIMIT', 0, 100)
    if #over > 0 then
        mark_drop(over)
    end
end
-- Whether `value` is news to it.
local function mark_below(name, value)
    local there = mark_of(name)
    return not there or open('>i8', there) < open('>i8', value)
end
