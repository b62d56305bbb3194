#!lua flags=allow-oom
-- NODES: who has said within his time that he lives. KEYS: nodes.
local now = redis.call('TIME')
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf',
    string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000)))
return {'DONE', redis.call('ZRANGE', KEYS[1], 0, -1)}
