-- FIXED: a period's start, and the cost since. p[6]: the start of the period of now.
local function fixed(act, state, now, p)
    local limit, cost, start = p[3], p[4], p[6]
    local from, used = LATE, 0
    if #state == 12 then
        from, used = struct.unpack('<I8I4', state)
    end
    if from >= LATE then
        used, state = 0, ''
    elseif from > start then
        state = struct.pack('<I8I4', start, used)
    elseif from < start then
        used = 0
    end
    local fits = cost == 0 or used + cost <= limit
    if act == 'give' and cost > 0 then
        return true, used > cost and struct.pack('<I8I4', start, used - cost) or ''
    end
    if not charges(act, p, fits) then
        return fits, state
    end
    return fits, struct.pack('<I8I4', start, math.min(used + cost, limit))
end
