#!lua flags=no-writes,allow-oom
-- The mark of one log: of a plain layout's key, before its value is read.
-- KEYS: mark.
-- @include mark.inc.lua
return {'DONE', c[1], c[2], c[3]}
