-- LOOK. ARGV: now, channel, queue. Figures in one word: of states, of priorities, the oldest, paused.
-- @include queue.inc.lua
-- @include queue_state.inc.lua
load()
local counts, least, ready = {}, math.huge, {}
for i, set in ipairs({S, R, L, D}) do
    counts[i] = call('ZCARD', set)
end
for level = 0, 9 do
    ready[level + 1] = 0
    if passed[level + 1] ~= EMPTY then
        local from, to = level * LEVEL, (level + 1) * LEVEL - 1
        ready[level + 1] = call('ZCOUNT', R, from, to)
        for _, number in ipairs(call('ZRANGEBYSCORE', R, from, to, 'LIMIT', 0, 1)) do
            local h = call('HGET', H, number)
            if h then
                least = math.min(least, (open('>I8', h, 31)))
            end
        end
    end
end
local function first_of(set)
    return tonumber(call('ZRANGE', set, 0, 0, 'WITHSCORES')[2]) or math.huge
end
local next_ms = math.min(first_of(S), first_of(L))
local oldest = least < math.huge and math.max(now - least, 0) or 0
return {'DONE', now, '', next_ms < math.huge and next_ms or -1, pack('>I8I8I8I8', unpack(counts)) ..
    pack('>I8I8I8I8I8I8I8I8I8I8', unpack(ready)) .. pack('>I8B', oldest, paused)}
