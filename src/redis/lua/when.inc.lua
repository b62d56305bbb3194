-- `found` is the head of the value that is there, or false; `exists`: and it is not that it is known
-- not to exist. conflict(when, version, epoch): a condition does not hold; told(): what is there.
local found = redis.call('GETRANGE', KEYS[2], 0, 35)
if string.sub(found, 5, 12) ~= c[1] then
    found = false
end
local exists = found and string.sub(found, 2, 2) ~= 'n'
local function conflict(when, version, epoch)
    if when == 'absent' then
        return exists
    end
    return when == 'version' and (not found or string.sub(found, 13, 20) ~= version
        or (epoch ~= '' and epoch ~= c[1]))
end
local function told()
    local got = redis.call('MGET', KEYS[2], KEYS[4], KEYS[5])
    return there('CONFLICT', found and got[1], got[2], got[3])
end
