-- A lease of a limited number of places: acquire, renew, release, count.
-- KEYS: the leases (sorted set: token by its end, microseconds), the override. ARGV: verb, now ('': the
-- server's time), the override as known, how many live at a time, window in microseconds (the longest
-- lease), in milliseconds; token, its microseconds.
-- Writes where something changes only: a full server still says what there is, and takes leases back.
-- @include limit_now.inc.lua
-- @include limit_override.inc.lua
local now = now_of(ARGV[2])
local other = other_override(1, KEYS[2], ARGV[3], now)
if other then
    return other
end
local leases, window, token = KEYS[1], tonumber(ARGV[5]), ARGV[7]
local function text(number)
    return string.format('%.0f', number)
end
local function keep(ends)
    redis.call('ZADD', leases, text(ends), token)
    redis.call('PEXPIRE', leases, ARGV[6])
end
-- What is over goes. Where the clock went back, no lease is longer than the longest.
if redis.call('ZCOUNT', leases, '-inf', text(now)) > 0 then
    redis.call('ZREMRANGEBYSCORE', leases, '-inf', text(now))
end
if ARGV[1] ~= 'release' then
    for _, late in ipairs(redis.call('ZRANGEBYSCORE', leases, '(' .. text(now + window), '+inf')) do
        redis.call('ZADD', leases, text(now + window), late)
    end
end
local there = redis.call('ZSCORE', leases, token)
local found = there and 1 or 0
if ARGV[1] == 'release' then
    redis.call('ZREM', leases, token)
elseif ARGV[1] == 'acquire' and (there or redis.call('ZCARD', leases) < tonumber(ARGV[4])) then
    -- Who has it already asks again, because he has not heard.
    found = 1
    keep(now + ARGV[8])
elseif ARGV[1] == 'renew' and there then
    keep(now + ARGV[8])
end
local function left(from, to)
    local ends = redis.call('ZRANGE', leases, from, to, 'WITHSCORES')[2]
    return ends and math.min(tonumber(ends) - now, window) or 0
end
return {'DONE', now, found, redis.call('ZCARD', leases), left(0, 0), left(-1, -1)}
