-- ACK, RESERVE, and both. ARGV: now, channel, queue, numbers (count, token, lease, dead_keep, dead_max,
-- whether the claims' numbers ascend), claims. Jobs come as number, head, payload.
-- What is written first takes away: a full server lets the rest pass.
-- @include queue.inc.lua
-- @include queue_state.inc.lua
-- @include queue_blocks.inc.lua
-- @include queue_dead.inc.lua
local count, token, lease, dead_keep, dead_max, in_order = open('>I8I8I8I8I8I8', ARGV[4])
local words, answer = ARGV[5], {'DONE', now, '', -1}
-- The hot part of all: no `#`, no table of names, and nothing made twice.
local function acknowledge()
    local numbers, results, gone, keys = {}, {}, {}, {}
    local seen, at, apart_too = in_order == 0 and {}, 0, false
    local last_claimed, last_result
    for i = 1, #words / 16 do
        numbers[i] = sub(words, 16 * i - 15, 16 * i - 8)
    end
    local found, lost = call('HMGET', H, unpack(numbers)), result(3, 0, 0)
    for i = 1, #numbers do
        local number, h = numbers[i], found[i]
        if h and byte(h) == LEASED and sub(h, 7, 14) == sub(words, 16 * i - 7, 16 * i) and
            not (seen and seen[number]) then
            local claimed, high, low, _, _, _, _, is_apart = sub(h, 15, 22), byte(h, 77, 83)
            at = at + 1
            gone[at] = number
            if seen then
                seen[number] = true
            end
            if claimed ~= last_claimed then
                last_claimed, last_result = claimed, result(0, 0, now - open('>I8', claimed))
            end
            if high + low > 0 then
                keys[#keys + 1] = key_of(h)
            end
            apart_too = apart_too or is_apart == 1
            results[i] = last_result
        else
            results[i] = lost
        end
    end
    if at > 0 then
        call('ZREM', L, unpack(gone))
        tally(gone, -1, in_order == 1)
        call('HDEL', H, unpack(gone))
        if apart_too then
            call('HDEL', P, unpack(gone))
        end
        if #keys > 0 then
            call('HDEL', U, unpack(keys))
        end
    end
    answer[3] = table.concat(results)
end
if words ~= '' then
    acknowledge()
end
if count == 0 and words ~= '' then
    return answer
end
load()
local changed_state, moved, taken = false, 0, 0
-- The first of a sorted set, as its score.
local function least(key)
    return tonumber(call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]) or math.huge
end
local function move(from, back)
    local over = call('ZRANGEBYSCORE', from, '-inf', now, 'LIMIT', 0, 1000)
    local found, changed, ready = call('HMGET', H, unpack(over)), {}, {}
    for i = back and #over or 1, back and 1 or #over, back and -1 or 1 do
        local h = found[i]
        if h then
            local attempt, attempts = open('>I4', h, 3), open('>I4', h, 79)
            local due, _, expires = open('>I8I8I8', h, 31)
            if back and attempt >= attempts then
                bury(over[i], h, 3)
            else
                local level, at = byte(h, 75), #changed
                changed[at + 1] = over[i]
                changed[at + 2] = turn(h, READY, 0, attempt, back and now or due, 0, expires)
                ready[at + 1] = back and place_first(level) or place_last(level)
                ready[at + 2] = over[i]
            end
        end
    end
    call('ZREM', from, unpack(over))
    if #changed > 0 then
        call('HSET', H, unpack(changed))
        call('ZADD', R, unpack(ready))
        moved = moved + #changed / 2
        changed_state = true
    end
    return least(from)
end
local until_next, due_next = least(L), least(S)
if until_next <= now then
    until_next = move(L, true)
end
if due_next <= now then
    due_next = move(S, false)
end
-- A job whose turn it is.
local gone, claimed, changed, leased, thrown = {}, {}, {}, {}, 0
local last_ends, last_text
local function take(number, h)
    local expires, own
    if h then
        expires, own = open('>I8I8', h, 47)
    end
    if h and (expires == 0 or expires > now) then
        local attempt, at = open('>I4', h, 3), 2 * taken
        local ends = now + (lease > 0 and lease or own)
        if ends ~= last_ends then
            last_ends, last_text = ends, text_of(ends)
            until_next = math.min(until_next, ends)
        end
        changed[at + 1] = number
        changed[at + 2] = pack('>BBI4I8I8I8', LEASED, 0, attempt + 1, token + taken, now, ends) ..
            sub(h, 31)
        leased[at + 1], leased[at + 2] = last_text, number
        taken = taken + 1
        claimed[taken] = number
        return true
    end
    thrown = thrown + 1
    if h then
        bury(number, h, 4)
    end
    return false
end
-- Where only one priority has jobs.
local function take_line(level)
    local left, used, claims_before = call('ZCARD', R), 0, taken
    while taken < count and thrown < 1000 and used < left do
        local numbers = call('ZRANGE', R, used, used + math.min(left - used, count - taken) - 1)
        local heads = call('HMGET', H, unpack(numbers))
        for i = 1, #numbers do
            if thrown < 1000 then
                used = used + 1
                take(numbers[i], heads[i])
            end
        end
    end
    local now_passed = used == left and EMPTY or taken > claims_before and 0 or passed[level + 1]
    changed_state = changed_state or now_passed ~= passed[level + 1]
    passed[level + 1] = now_passed
    if used > 0 then
        call('ZREMRANGEBYRANK', R, 0, used - 1)
    end
end
-- Of each priority that has a job: how many, and the next ones, as they are needed.
local function take_levels(levels)
    local lines = {}
    for _, level in ipairs(levels) do
        local left = call('ZCOUNT', R, level * LEVEL, (level + 1) * LEVEL - 1)
        lines[level] = {left = left, used = 0, at = 0, numbers = {}}
        passed[level + 1] = left > 0 and passed[level + 1] or EMPTY
    end
    local function choose()
        for _, level in ipairs(levels) do
            if lines[level].left > 0 and passed[level + 1] >= 8 then
                return level
            end
        end
        for _, level in ipairs(levels) do
            if lines[level].left > 0 then
                return level
            end
        end
    end
    local function next_of(level)
        local line = lines[level]
        line.at = line.at + 1
        if line.at > #line.numbers then
            line.numbers = call('ZRANGEBYSCORE', R, level * LEVEL, (level + 1) * LEVEL - 1, 'LIMIT',
                line.used, math.min(line.left, count - taken))
            line.heads = call('HMGET', H, unpack(line.numbers))
            line.at = 1
        end
        line.used, line.left = line.used + 1, line.left - 1
        if line.left == 0 then
            passed[level + 1] = EMPTY
        end
        return line.numbers[line.at], line.heads[line.at]
    end
    local function pass_over(level)
        if passed[level + 1] ~= EMPTY then
            passed[level + 1] = 0
        end
        for _, other in ipairs(levels) do
            if other > level and lines[other].left > 0 then
                passed[other + 1] = math.min(passed[other + 1] + 1, 254)
            end
        end
    end
    while taken < count and thrown < 1000 do
        local level = choose()
        if not level then
            break
        end
        local number, h = next_of(level)
        gone[#gone + 1] = number
        if take(number, h) then
            pass_over(level)
        end
    end
    changed_state = true
    if #gone > 0 then
        call('ZREM', R, unpack(gone))
    end
end
if paused == 0 then
    local levels = {}
    for level = 0, 9 do
        if passed[level + 1] ~= EMPTY then
            levels[#levels + 1] = level
        end
    end
    if #levels == 1 then
        take_line(levels[1])
    elseif #levels > 1 then
        take_levels(levels)
    end
end
settle_dead(dead_keep, dead_max)
if taken > 0 then
    call('HSET', H, unpack(changed))
    call('ZADD', L, unpack(leased))
    local large, at_of = {}, {}
    for i = 1, taken do
        local at, h = 2 + 3 * i, changed[2 * i]
        answer[at], answer[at + 1], answer[at + 2] = claimed[i], h, ''
        if byte(h, 83) == 1 then
            large[#large + 1] = claimed[i]
            at_of[#large] = at + 2
        end
    end
    local payloads = #large > 0 and call('HMGET', P, unpack(large))
    for i = 1, #large do
        answer[at_of[i]] = payloads[i] or ''
    end
end
if changed_state then
    save()
end
if moved > taken then
    ring()
end
local next_ms = math.min(until_next, due_next)
if thrown >= 1000 then
    next_ms = now
end
answer[4] = next_ms < math.huge and next_ms or -1
return answer
