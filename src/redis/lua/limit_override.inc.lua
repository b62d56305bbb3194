-- The answer where another override is in force than the caller knows of part `which`; false: none is.
-- What has not the length of one is none.
local function other_override(which, key, known, now)
    local stored = redis.call('GET', key) or ''
    if #stored ~= 6 then
        stored = ''
    end
    return stored ~= known and
        {'OVERRIDE', now, which, stored, stored ~= '' and redis.call('PTTL', key) or 0}
end
