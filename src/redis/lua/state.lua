#!lua flags=allow-oom
-- STATE: this node lives, and the marks of logs: of all, or, in a Cluster, of the wide one.
-- KEYS: nodes, marks. ARGV: node, for how many milliseconds.
local now = redis.call('TIME')
local ends = now[1] * 1000 + math.floor(now[2] / 1000) + ARGV[2]
redis.call('ZADD', KEYS[1], string.format('%.0f', ends), ARGV[1])
local marks = {'DONE'}
for i = 2, #KEYS do
    local c = redis.call('HMGET', KEYS[i], 'e', 's', 'n')
    marks[i] = {c[1], c[2], c[3]}
end
return marks
