-- Microseconds since 1970: the caller's ('': the server's), whole, below 2^53.
local function now_of(given)
    if given ~= '' then
        return tonumber(given)
    end
    local time = redis.call('TIME')
    return time[1] * 1000000 + time[2]
end
