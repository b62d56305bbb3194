-- TOKEN: when the bucket is full again, whole microseconds and a rest in units of 1 / rate. p[3]: rate,
-- p[6], p[7]: the whole bucket, p[8], p[9]: the cost, as time and rest.
local function token(act, state, now, p)
    local rate, full, full_rest = p[3], p[6], p[7]
    local used, rest, whole = 0, 0, LATE
    if #state == 12 then
        whole, rest = struct.unpack('<I8I4', state)
    end
    if whole >= LATE then
        whole, rest, state = 0, 0, ''
    elseif rest >= rate then
        whole, rest = whole + 1, 0
        state = struct.pack('<I8I4', whole, 0)
    end
    if whole >= now then
        used = whole - now
    else
        rest = 0
    end
    if used > full or (used == full and rest > full_rest) then
        used, rest = full, full_rest
        state = struct.pack('<I8I4', now + full, full_rest)
    end
    local sum, sum_rest = used + p[8], rest + p[9]
    if sum_rest >= rate then
        sum, sum_rest = sum + 1, sum_rest - rate
    end
    local over = sum > full or (sum == full and sum_rest > full_rest)
    local fits = p[4] == 0 or not (over or impossible(p))
    if act == 'give' and p[4] > 0 then
        sum, sum_rest = used - p[8], rest - p[9]
        if sum_rest < 0 then
            sum, sum_rest = sum - 1, sum_rest + rate
        end
        if sum < 0 or (sum == 0 and sum_rest == 0) then
            return true, ''
        end
        fits, over = true, false
    elseif not charges(act, p, fits) then
        return fits, state
    end
    if over then
        sum, sum_rest = full, full_rest
    end
    return fits, struct.pack('<I8I4', now + sum, sum_rest)
end
