-- The head of a value (redis/envelope.h), 36 bytes: 4 that say what follows, then 8 each of epoch,
-- version, time of birth, source version, all big-endian. Numbers of 64 bits are compared as bytes or
-- by their halves: Lua's are doubles.
local function older(a, b)
    local a1, a2 = struct.unpack('>I4I4', a)
    local b1, b2 = struct.unpack('>I4I4', b)
    return a1 < b1 or (a1 == b1 and a2 < b2)
end
local NONE = string.rep('\0', 8)
