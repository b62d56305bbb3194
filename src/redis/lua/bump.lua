#!lua flags=allow-oom
-- BUMP: appends records to the wide log and raises their stamps. (Of a plain layout's changes: the
-- second step, with one record and no stamp, in any log.)
-- KEYS: mark, log, stamps. ARGV: log, channel, log_max; then for each record: its text, the field
-- of its stamp ('': none).
-- @include mark.inc.lua
-- @include append.inc.lua
for i = 4, #ARGV, 2 do
    if not append(KEYS[1], c, KEYS[2], ARGV[i], ARGV[1], ARGV[2], ARGV[3]) then
        return {'NO_EPOCH'}
    end
    if ARGV[i + 1] ~= '' then
        redis.call('HSET', KEYS[3], ARGV[i + 1], c[2])
    end
end
return {'DONE', c[1], c[2], c[3]}
