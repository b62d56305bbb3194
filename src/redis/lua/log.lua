#!lua flags=no-writes,allow-oom
-- LOG: the records from one on, which must be there. KEYS: mark, log. ARGV: its sequence ('0': all).
-- @include mark.inc.lua
local records = redis.call('XRANGE', KEYS[2], ARGV[1] .. '-0', '+')
local first = ARGV[1] == '0' and '1-0' or ARGV[1] .. '-0'
if (#records == 0 and (ARGV[1] ~= '0' or c[2] ~= '0')) or (#records > 0 and records[1][1] ~= first) then
    return {'GONE', c[1], c[2], c[3]}
end
return {'DONE', c[1], c[2], c[3], records}
