#!lua flags=no-writes,allow-oom
-- STAMPS: all of them. KEYS: mark, stamps.
-- @include mark.inc.lua
return {'DONE', c[1], c[2], c[3], redis.call('HGETALL', KEYS[2])}
