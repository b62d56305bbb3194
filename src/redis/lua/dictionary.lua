-- The dictionary of a class that is to be used: the one that is there, or else the one that is offered.
-- KEYS: dictionaries. ARGV: version ('': none is offered), bytes.
local now = redis.call('HGET', KEYS[1], 'now')
if ARGV[1] ~= '' and (not now or redis.call('HEXISTS', KEYS[1], now) == 0) then
    now = ARGV[1]
    redis.call('HSET', KEYS[1], now, ARGV[2], 'now', now)
end
return {now, now and redis.call('HGET', KEYS[1], now)}
