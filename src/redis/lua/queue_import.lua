-- IMPORT. ARGV: now, channel, queue, partition, the last number looked at, whether what has a number keeps
-- it (else it goes), mark's name; then for each job number and head, and payload.
-- @include queue.inc.lua
-- @include queue_state.inc.lua
-- @include queue_marks.inc.lua
-- @include queue_blocks.inc.lua
local partition, last_number, keeps = open('>I8I8I8', ARGV[4])
local name, above, count, results = ARGV[5], 0, 0, {}
if name ~= '' then
    local there = mark_of(name)
    above = there and open('>i8', there) or 0
end
load()
local SETS = {[SCHEDULED] = S, [READY] = R, [LEASED] = L, [DEAD] = D}
local AT = {[SCHEDULED] = 31, [LEASED] = 23, [DEAD] = 39}
local function without_key(h)
    local kind, unique = open('>BI2', h, 76)
    return sub(h, 1, 76) .. '\0\0' .. sub(h, 79, 83 + kind) .. sub(h, 84 + kind + unique)
end
local function replace(number)
    local h = call('HGET', H, number)
    if h then
        local state, key = byte(h), key_of(h)
        call('ZREM', SETS[state], number)
        if key and state ~= DEAD then
            call('HDEL', U, key)
        end
        tally({number}, -1)
        find_empty()
    end
end
for i = 6, #ARGV, 2 do
    local value, number, h = open('>I8', ARGV[i]), sub(ARGV[i], 1, 8), sub(ARGV[i], 9)
    results[#results + 1] = result(1, 0, 0)
    if value > above then
        local state, key, own = byte(h), key_of(h), value % 64 == partition
        if own then
            made = math.max(made, math.floor(value / 64))
        end
        if not own or keeps == 1 and call('HEXISTS', H, number) == 1 then
            made = made + 1
            number = pack('>I8', made * 64 + partition)
        end
        local owner = key and state ~= DEAD and call('HGET', U, key)
        replace(number)
        if owner and owner ~= number then
            h = without_key(h)
        elseif key and state ~= DEAD then
            call('HSET', U, key, number)
        end
        if byte(h, 83) == 1 then
            call('HSET', P, number, ARGV[i + 1])
        end
        call('HSET', H, number, h)
        tally({number}, 1)
        call('ZADD', SETS[state], state == READY and place_last(byte(h, 75)) or open('>I8', h, AT[state]),
            number)
        count = count + 1
        results[#results] = result(0, 0, (open('>I8', number)))
    end
end
if count > 0 then
    save()
    ring()
end
if name ~= '' and last_number > above then
    mark_set(name, pack('>i8', last_number), 0)
end
return {'DONE', now, table.concat(results), count}
