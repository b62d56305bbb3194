-- PARTS: a sub-window, and the costs in it and in those before it. p[6]: microseconds of one, p[7]: how
-- many a window has.
local function parts(act, state, now, p)
    local limit, cost, last = p[3], p[4], p[7] + 1
    local index = math.floor(now / p[6])
    local there, used, shift = {}, 0, 0
    if #state == 8 + 4 * last then
        there = {struct.unpack('<I8' .. string.rep('I4', last), state)}
    end
    if not there[1] or there[1] >= LATE then
        there, state = {}, ''
    elseif there[1] > index then
        state = struct.pack('<I8', index) .. string.sub(state, 9)
    else
        shift = index - there[1]
    end
    for i = 1, last - shift do
        used = used + (there[1 + i] or 0)
    end
    local fits = cost == 0 or used + cost <= limit
    local left = limit
    if act == 'give' and cost > 0 then
        left = used - cost
        if left <= 0 then
            return true, ''
        end
        cost, fits = 0, true
    elseif not charges(act, p, fits) then
        return fits, state
    end
    -- Of all units, the newest that may stay.
    local costs = {}
    for i = 1, last do
        local here = (i > shift and there[1 + i - shift] or 0) + (i == 1 and cost or 0)
        costs[i] = math.min(here, left)
        left = left - costs[i]
    end
    return fits, struct.pack('<I8' .. string.rep('I4', last), index, unpack(costs))
end
