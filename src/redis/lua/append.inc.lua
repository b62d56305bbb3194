-- Appends a record (sync/record.c: the nonce of the one before, a space, its own, the rest) to the log
-- whose mark is `c` and stands at `at`, raises it, and tells everybody. A log that holds what its counter
-- does not know (one of the two was lost) is given up: it needs a new epoch.
local function append(at, c, log, rest, number, channel, log_max)
    local seq = string.format('%.0f', redis.call('HINCRBY', at, 's', 1))
    local text = c[3] .. rest
    local added = redis.pcall('XADD', log, 'MAXLEN', '~', log_max, seq .. '-0', 'r', text)
    if type(added) == 'table' and added.err then
        redis.call('DEL', at)
        return false
    end
    c[2] = seq
    c[3] = string.sub(rest, 2, 17)
    redis.call('HSET', at, 'n', c[3])
    redis.call('PUBLISH', channel, 'r' .. number .. ':' .. c[1] .. seq .. ':' .. text)
    return true
end
