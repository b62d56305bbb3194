-- The version of a plain value is made from its bytes.
local function conflict(when, version)
    if when == 'any' then
        return false
    end
    local value = redis.call('GET', KEYS[1])
    if when == 'absent' and not value then
        return false
    end
    if when == 'version' and value and string.sub(redis.sha1hex(value), 1, 16) == version then
        return false
    end
    local got = redis.call('MGET', KEYS[3], KEYS[4])
    return {'CONFLICT', value, value and redis.call('PTTL', KEYS[1]), got[1], got[2]}
end
