-- What the scripts of a queue begin with. KEYS, of one partition: its state, jobs (number by head), large
-- payloads, blocks of numbers, how many jobs each has, unique keys; scheduled by due, leased by until,
-- dead by death, ready by place.
-- Numbers are 8 bytes, big-endian, so that their bytes are in their order. A head: state, end, attempt
-- (3), token (7), claimed (15), until (23), due (31), died (39), expires (47), lease (55), lengths of
-- error (63) and progress (65), enqueued (67), priority (75), lengths of kind (76) and unique key (77),
-- attempts (79), whether the payload lies apart (83); from 84 on kind, unique key, error, progress,
-- payload. (Lua hashes every byte of every string that it makes: fewer and shorter ones are faster.)
-- ARGV[1]: now ('': the server's clock).
local Q, H, P, N, B, U, S, L, D, R = unpack(KEYS)
local call, pack, open, sub, byte = redis.call, struct.pack, struct.unpack, string.sub, string.byte
local SCHEDULED, READY, LEASED, DEAD = 0, 1, 2, 3
local now = tonumber(ARGV[1])
if not now then
    local time = call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
end
-- Results: 0 done, 1 not there, 2 refused, 3 lost.
local function result(code, extra, number)
    return pack('>BBi8', code, extra, number)
end
-- A head in another state: nobody's.
local function turn(h, state, ending, attempt, due, died, expires)
    return pack('>BBI4I8I8I8I8I8I8', state, ending, attempt, 0, 0, 0, due, died, expires) .. sub(h, 55)
end
local function key_of(h)
    local kind, unique = open('>BI2', h, 76)
    return unique > 0 and sub(h, 84 + kind, 83 + kind + unique)
end
-- A score that several have is written once.
local function text_of(number)
    return string.format('%.0f', number)
end
-- The payload, where it lies apart.
local function apart(number, h)
    return byte(h, 83) == 1 and call('HGET', P, number) or ''
end
-- Something may be READY now. Who may not say so has done all the same what he did.
local function ring()
    redis.pcall('PUBLISH', ARGV[2], ARGV[3])
end
