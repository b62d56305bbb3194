-- RELEASE. ARGV: now, channel, queue, delay, claims.
-- @include queue.inc.lua
-- @include queue_state.inc.lua
-- @include queue_claims.inc.lua
local delay, words = open('>I8', ARGV[4]), ARGV[5]
local results, back, old, changed, line = {}, {}, {}, {}, {}
claims(words)
for i = 1, #numbers do
    local h = mine(words, i)
    if h then
        back[#back + 1] = numbers[i]
        old[#back] = h
        heads[numbers[i]] = false
    end
    results[i] = result(h and 0 or 3, 0, 0)
end
if #back > 0 then
    load()
    -- The last one first, so that the first one stands first.
    for i = #back, 1, -1 do
        local h, at = old[i], #changed
        local _, _, expires = open('>I8I8I8', h, 31)
        changed[at + 1] = back[i]
        changed[at + 2] = turn(h, delay > 0 and SCHEDULED or READY, 0, math.max(open('>I4', h, 3) - 1, 0),
            now + delay, 0, expires)
        line[at + 1] = delay > 0 and now + delay or place_first(byte(h, 75))
        line[at + 2] = back[i]
    end
    call('ZREM', L, unpack(back))
    call('HSET', H, unpack(changed))
    if delay == 0 then
        save()
    end
    call('ZADD', delay > 0 and S or R, unpack(line))
    ring()
end
return {'DONE', now, table.concat(results), 0}
