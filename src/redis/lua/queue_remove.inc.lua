-- Jobs that go, whatever their states.
local function remove(gone, heads)
    local from, keys = {[SCHEDULED] = {}, [READY] = {}, [LEASED] = {}, [DEAD] = {}}, {}
    for i = 1, #gone do
        local state = byte(heads[i])
        local list = from[state]
        list[#list + 1] = gone[i]
        -- A dead one's key may be another's.
        keys[#keys + 1] = state ~= DEAD and key_of(heads[i]) or nil
    end
    many('ZREM', S, from[SCHEDULED])
    many('ZREM', R, from[READY])
    many('ZREM', L, from[LEASED])
    many('ZREM', D, from[DEAD])
    tally(gone, -1)
    many('HDEL', H, gone)
    many('HDEL', P, gone)
    many('HDEL', U, keys)
    if #from[READY] > 0 then
        load()
        find_empty()
        save()
    end
end
