-- FAIL. ARGV: now, channel, queue, numbers (delay, permanent, random, retry_delay, retry_max, dead_keep,
-- dead_max), claims, error.
-- @include queue.inc.lua
-- @include queue_state.inc.lua
-- @include queue_blocks.inc.lua
-- @include queue_dead.inc.lua
-- @include queue_claims.inc.lua
local delay, permanent, random, retry, retry_max, dead_keep, dead_max = open('>i8BI4I8I8I8I8', ARGV[4])
local words, text = ARGV[5], ARGV[6]
local results, gone, changed, ready, later = {}, {}, {}, {}, {}
local function back_off(attempt)
    local whole = math.min(retry_max, retry * 2 ^ (attempt - 1))
    local half = math.floor(whole / 2)
    return whole - half + math.floor(half * random / 1024)
end
local function with_error(h)
    local kind, unique = open('>BI2', h, 76)
    local fixed, was = 83 + kind + unique, open('>I2', h, 63)
    return sub(h, 1, 62) .. pack('>I2', #text) .. sub(h, 65, fixed) .. text ..
        sub(h, fixed + was + 1)
end
claims(words)
load()
for i = 1, #numbers do
    local number, h = numbers[i], mine(words, i)
    if not h then
        results[i] = result(3, 0, 0)
    else
        local attempt, attempts = open('>I4', h, 3), open('>I4', h, 79)
        local ends, ran = 0, now - open('>I8', h, 15)
        h = with_error(h)
        gone[#gone + 1] = number
        if permanent == 1 or attempt >= attempts then
            ends = permanent == 1 and 2 or 1
            bury(number, h, ends)
        else
            local wait = delay >= 0 and delay or back_off(attempt)
            local _, _, expires = open('>I8I8I8', h, 31)
            changed[#changed + 1] = number
            changed[#changed + 1] = turn(h, wait > 0 and SCHEDULED or READY, 0, attempt, now + wait, 0,
                expires)
            local line = wait > 0 and later or ready
            line[#line + 1] = wait > 0 and now + wait or place_last(byte(h, 75))
            line[#line + 1] = number
        end
        heads[number] = false
        results[i] = result(0, ends, ran)
    end
end
if #gone > 0 then
    call('ZREM', L, unpack(gone))
end
if #changed > 0 then
    call('HSET', H, unpack(changed))
    if #later > 0 then
        call('ZADD', S, unpack(later))
    end
    if #ready > 0 then
        save()
        call('ZADD', R, unpack(ready))
    end
    ring()
end
settle_dead(dead_keep, dead_max)
return {'DONE', now, table.concat(results), 0}
