#!lua flags=allow-oom
-- EPOCH: opens another epoch of a log, if it is still as the caller thinks. What belonged to the old
-- one goes. KEYS: mark, log, and of the wide log its stamps. ARGV: the epoch as known ('': none), the
-- new one.
local known = redis.call('HGET', KEYS[1], 'e') or ''
if known == ARGV[1] and known ~= ARGV[2] then
    redis.call('UNLINK', unpack(KEYS))
    redis.call('HSET', KEYS[1], 'e', ARGV[2], 's', '0', 'n', '0000000000000000')
end
local c = redis.call('HMGET', KEYS[1], 'e', 's', 'n')
return {'DONE', c[1], c[2], c[3]}
