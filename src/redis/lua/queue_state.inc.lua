-- The state: whether it is paused, the last number / 64, the last and the first place in line, and for
-- each priority how often it was passed over, or EMPTY. A place is the score of a READY job.
local LEVEL, MIDDLE, EMPTY = 562949953421312, 281474976710656, 255
local paused, made, last, first, passed = 0, 0, 0, 0
-- Somebody removed it, or there is none yet.
local function restore()
    passed = {EMPTY, EMPTY, EMPTY, EMPTY, EMPTY, EMPTY, EMPTY, EMPTY, EMPTY, EMPTY}
    local newest = call('ZRANGE', N, -1, -1)[1]
    if not newest then
        return
    end
    made = math.floor(open('>I8', newest .. '\255\255') / 64)
    for level = 0, 9 do
        local from, to = level * LEVEL, (level + 1) * LEVEL - 1
        local head = call('ZRANGEBYSCORE', R, from, to, 'WITHSCORES', 'LIMIT', 0, 1)[2]
        if head then
            local tail = call('ZREVRANGEBYSCORE', R, to, from, 'WITHSCORES', 'LIMIT', 0, 1)[2]
            passed[level + 1] = 0
            first = math.min(first, head - from - MIDDLE)
            last = math.max(last, tail - from - MIDDLE)
        end
    end
end
local function load()
    local state = call('GET', Q)
    if not state then
        return restore()
    end
    if #state ~= 35 then
        error('the state of a queue is damaged')
    end
    paused, made, last, first = open('>Bi8i8i8', state)
    passed = {byte(state, 26, 35)}
end
local function save()
    call('SET', Q, pack('>Bi8i8i8', paused, made, last, first) .. string.char(unpack(passed)))
end
local function place(level, at)
    if passed[level + 1] == EMPTY then
        passed[level + 1] = 0
    end
    return level * LEVEL + MIDDLE + at
end
local function place_last(level)
    last = last + 1
    return place(level, last)
end
local function place_first(level)
    first = first - 1
    return place(level, first)
end
-- After READY jobs were taken away.
local function find_empty()
    for level = 0, 9 do
        if passed[level + 1] ~= EMPTY and
            call('ZCOUNT', R, level * LEVEL, (level + 1) * LEVEL - 1) == 0 then
            passed[level + 1] = EMPTY
        end
    end
end
