-- A token bucket as GCRA, as one writes it for Redis: what bench_limits compares forebay with.
--
-- KEYS[1]; ARGV: what the bucket holds, µs a token takes to come back, tokens asked for.
-- Answers as redis-cell does: limited (0 or 1), limit, remaining, seconds until a retry (-1: none is
-- needed), seconds until the bucket is full. The state is the time at which it will be.
local capacity, interval, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local full_at = tonumber(redis.call('GET', KEYS[1])) or now
if full_at < now then
    full_at = now
end
local wanted = full_at + cost * interval
local room = capacity * interval - (wanted - now)
if room < 0 then
    return {1, capacity, math.floor((capacity * interval - (full_at - now)) / interval),
            math.ceil(-room / 1000000), math.ceil((full_at - now) / 1000000)}
end
redis.call('SET', KEYS[1], string.format('%.0f', wanted), 'PX', math.ceil((wanted - now) / 1000))
return {0, capacity, math.floor(room / interval), -1, math.ceil((wanted - now) / 1000000)}
