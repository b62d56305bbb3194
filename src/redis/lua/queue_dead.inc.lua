-- Jobs that die, written together; and those that were dead for long enough.
local dead_heads, dead_places, dead_keys = {}, {}, {}
local function bury(number, h, ending)
    local due, _, expires = open('>I8I8I8', h, 31)
    local at, key = #dead_heads, key_of(h)
    dead_heads[at + 1] = number
    dead_heads[at + 2] = turn(h, DEAD, ending, open('>I4', h, 3), due, now, expires)
    dead_places[at + 1], dead_places[at + 2] = now, number
    if key then
        dead_keys[#dead_keys + 1] = key
    end
end
local function settle_dead(keep, most)
    if #dead_heads > 0 then
        if #dead_keys > 0 then
            call('HDEL', U, unpack(dead_keys))
        end
        call('HSET', H, unpack(dead_heads))
        call('ZADD', D, unpack(dead_places))
    end
    local over = call('ZCARD', D)
    if over == 0 then
        return
    end
    over = over - most
    local oldest = call('ZRANGE', D, 0, 0, 'WITHSCORES')
    if over <= 0 and oldest[2] + keep > now then
        return
    end
    local gone = {}
    oldest = call('ZRANGE', D, 0, 99, 'WITHSCORES')
    for i = 1, #oldest / 2 do
        if i > over and oldest[2 * i] + keep > now then
            break
        end
        gone[i] = oldest[2 * i - 1]
    end
    call('ZREM', D, unpack(gone))
    tally(gone, -1)
    call('HDEL', H, unpack(gone))
    call('HDEL', P, unpack(gone))
end
