-- What is there, as GET answers it; `value` may be false.
local function there(outcome, value, fence, held)
    local now = redis.call('TIME')
    return {outcome, c[1], c[2], c[3], value, value and redis.call('PTTL', KEYS[2]), now[1], now[2],
        fence, held}
end
