-- A command with any number of arguments behind its key.
local function many(verb, key, list)
    for from = 1, #list, 2000 do
        call(verb, key, unpack(list, from, math.min(from + 1999, #list)))
    end
end
-- Heads by HMGET, likewise.
local function heads_of(list)
    local found = {}
    for from = 1, #list, 2000 do
        for _, h in ipairs(call('HMGET', H, unpack(list, from, math.min(from + 1999, #list)))) do
            found[#found + 1] = h
        end
    end
    return found
end
