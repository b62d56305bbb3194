-- KICK. ARGV: now, channel, queue, state and count, numbers in one word ('': those of that state).
-- @include queue.inc.lua
-- @include queue_state.inc.lua
-- @include queue_many.inc.lua
local state, count = open('>I8I8', ARGV[4])
local results, numbers, heads, kicked = {}, {}, {}, 0
if ARGV[5] ~= '' then
    for i = 1, #ARGV[5] / 8 do
        numbers[i] = sub(ARGV[5], 8 * i - 7, 8 * i)
    end
elseif count > 0 and (state == SCHEDULED or state == DEAD) then
    numbers = call('ZRANGE', state == DEAD and D or S, 0, count - 1)
end
for i, h in ipairs(heads_of(numbers)) do
    heads[numbers[i]] = h
end
load()
local changed, ready, sets = {}, {}, {[SCHEDULED] = {}, [DEAD] = {}}
local keys = {}
-- A code, and the job's head where it is to be kicked.
local function judge(h)
    local is = h and byte(h)
    if is ~= SCHEDULED and is ~= DEAD then
        return h and 0 or 1
    end
    local key = is == DEAD and key_of(h)
    if key and (keys[key] or call('HEXISTS', U, key) == 1) then
        return 2
    end
    return 0, is
end
for i = 1, #numbers do
    local number = numbers[i]
    local h = heads[number]
    local code, from = judge(h)
    if from then
        local _, _, expires = open('>I8I8I8', h, 31)
        local key, set = from == DEAD and key_of(h), sets[from]
        set[#set + 1] = number
        if key then
            keys[key] = number
        end
        h = turn(h, READY, 0, from == DEAD and 0 or open('>I4', h, 3), now, 0, from == DEAD and 0 or expires)
        heads[number] = h
        changed[#changed + 1] = number
        changed[#changed + 1] = h
        ready[#ready + 1] = place_last(byte(h, 75))
        ready[#ready + 1] = number
        kicked = kicked + 1
    end
    results[i] = result(code, 0, 0)
end
if kicked > 0 then
    many('ZREM', S, sets[SCHEDULED])
    many('ZREM', D, sets[DEAD])
    many('HSET', H, changed)
    for key, number in pairs(keys) do
        call('HSET', U, key, number)
    end
    save()
    many('ZADD', R, ready)
    ring()
end
return {'DONE', now, ARGV[5] ~= '' and table.concat(results) or '', kicked}
