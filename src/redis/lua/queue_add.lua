-- ENQUEUE. ARGV: now, channel, queue, jobs_max, partition and how many jobs, mark's name and value ('':
-- none); then of each job two words, its numbers and the end of its head; then the payloads that lie apart.
-- @include queue.inc.lua
-- @include queue_state.inc.lua
-- @include queue_marks.inc.lua
-- @include queue_blocks.inc.lua
local most, partition, count = open('>I8I8I8', ARGV[4])
if ARGV[5] ~= '' and not mark_below(ARGV[5], ARGV[6]) then
    return {'DONE', now, '', 0}
end
load()
local FRONT = '>BBI4I8I8I8I8I8I8I8I2I2I8'
local results, taken, places, results_at, ready_at = {}, {}, {}, 0, 0
local heads, payloads, numbers, keys, ready, later, made_at = {}, {}, {}, {}, {}, {}, 0
local next_payload = 7 + 2 * count
-- Of the numbers that came last: mostly they are the same again.
local numbers_of, waits, due, level, kind, unique, front
local function read(word)
    local delay, life, lease
    numbers_of = word
    delay, due, life, lease, level, kind, unique = open('>i8i8i8I8BBI2', word)
    due = due == 0 and delay > 0 and now + delay or due
    waits = due > now
    front = pack(FRONT, waits and SCHEDULED or READY, 0, 0, 0, 0, 0, waits and due or now, 0,
        life > 0 and now + life or 0, lease, 0, 0, now)
end
for i = 7, 5 + 2 * count, 2 do
    local tail = ARGV[i + 1]
    if ARGV[i] ~= numbers_of then
        read(ARGV[i])
    end
    local key = unique > 0 and sub(tail, 10 + kind, 9 + kind + unique)
    local other = key and (taken[key] or call('HGET', U, key))
    local is_apart = byte(tail, 9) == 1
    if is_apart then
        next_payload = next_payload + 1
    end
    results_at = results_at + 1
    if other then
        results[results_at] = '\2\0' .. other
    else
        made = made + 1
        local number = pack('>I8', made * 64 + partition)
        made_at = made_at + 1
        local at = 2 * made_at - 2
        heads[at + 1], heads[at + 2] = number, front .. tail
        if is_apart then
            payloads[#payloads + 1] = number
            payloads[#payloads + 1] = ARGV[next_payload - 1]
        end
        numbers[made_at] = number
        if key then
            taken[key] = number
            keys[#keys + 1] = key
            keys[#keys + 1] = number
        end
        if waits then
            later[#later + 1] = due
            later[#later + 1] = number
        else
            -- One place for all of a call: among these the lower number comes first.
            places[level] = places[level] or text_of(place_last(level))
            ready[ready_at + 1], ready[ready_at + 2] = places[level], number
            ready_at = ready_at + 2
        end
        results[results_at] = '\0\0' .. number
    end
end
if most > 0 and #numbers > 0 and call('HLEN', H) - call('ZCARD', D) + #numbers > most then
    return {'FULL', now, '', 0}
end
-- What is in line comes last: what goes wrong before leaves no job that runs.
if #numbers > 0 then
    if #payloads > 0 then
        call('HSET', P, unpack(payloads))
    end
    call('HSET', H, unpack(heads))
    tally(numbers, 1, true)
    save()
    if #keys > 0 then
        call('HSET', U, unpack(keys))
    end
    if #later > 0 then
        call('ZADD', S, unpack(later))
    end
    if #ready > 0 then
        call('ZADD', R, unpack(ready))
    end
    ring()
end
if ARGV[5] ~= '' then
    mark_set(ARGV[5], ARGV[6], 0)
end
return {'DONE', now, table.concat(results), 1}
