-- RING: the newest unit's tick, then how many ticks before it the others are. p[6]: microseconds of a
-- tick, p[7]: ticks for which a unit counts.
local function ring(act, state, now, p)
    local limit, cost, window = p[3], p[4], p[7]
    local tick = math.floor(now / p[6])
    local there, count, live = {}, 0, 0
    if #state >= 8 and #state <= 260 and #state % 4 == 0 then
        count = #state / 4 - 1
        there = {struct.unpack('<I8' .. string.rep('I4', count - 1), state)}
    end
    local newest = there[1] or 0
    there[1] = 0
    local is_state = count > 0 and newest < LATE
    for i = 2, count do
        is_state = is_state and there[i] >= there[i - 1] and there[i] < window
    end
    if not is_state then
        count, state = 0, ''
    end
    if count > 0 and newest > tick then
        newest = tick
        state = struct.pack('<I8', tick) .. string.sub(state, 9)
    end
    local age = tick - newest
    while live < count and age + there[live + 1] < window do
        live = live + 1
    end
    local fits = cost == 0 or live + cost <= limit
    if act == 'give' and cost > 0 then
        return true, live > cost and string.sub(state, 1, 8 + 4 * (live - cost - 1)) or ''
    end
    if not charges(act, p, fits) then
        return fits, state
    end
    local units = {}
    for i = 2, cost do
        units[i - 1] = 0
    end
    for i = 1, math.min(live, limit - cost) do
        units[cost - 1 + i] = age + there[i]
    end
    return fits, struct.pack('<I8' .. string.rep('I4', #units), tick, unpack(units))
end
