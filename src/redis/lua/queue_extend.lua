-- EXTEND. ARGV: now, channel, queue, lease (0: the job's), claims, '' or '+' and the progress.
-- @include queue.inc.lua
-- @include queue_claims.inc.lua
local lease, words, text = open('>I8', ARGV[4]), ARGV[5], ARGV[6]
local results, changed, leased, gone = {}, {}, {}, {}
local function with_progress(h)
    local failed, was = open('>I2I2', h, 63)
    local kind, unique = open('>BI2', h, 76)
    local from = 83 + kind + unique + failed
    return sub(h, 1, 64) .. pack('>I2', #text - 1) .. sub(h, 67, from) .. sub(text, 2) ..
        sub(h, from + was + 1)
end
claims(words)
for i = 1, #numbers do
    local h, number = mine(words, i), numbers[i]
    results[i] = result(h and 0 or 3, 0, 0)
    if h then
        local ends = now + (lease > 0 and lease or open('>I8', h, 55))
        h = sub(h, 1, 22) .. pack('>I8', ends) .. sub(h, 31)
        if text ~= '' then
            h = with_progress(h)
        end
        heads[number] = h
        gone[#gone + 1] = number
        changed[#changed + 1] = number
        changed[#changed + 1] = h
        leased[#leased + 1] = ends
        leased[#leased + 1] = number
    end
end
if #changed > 0 then
    call('ZREM', L, unpack(gone))  -- first: a full server lets the rest pass
    call('HSET', H, unpack(changed))
    call('ZADD', L, unpack(leased))
end
return {'DONE', now, table.concat(results), 0}
