-- Claims, in one word: number and token of each. `heads` are the jobs by their numbers.
local numbers, heads = {}, {}
local function claims(word)
    for i = 1, #word / 16 do
        numbers[i] = sub(word, 16 * i - 15, 16 * i - 8)
    end
    local found = #numbers > 0 and call('HMGET', H, unpack(numbers))
    for i = 1, #numbers do
        heads[numbers[i]] = found[i]
    end
end
-- The head of the claim's job, while it is that one's.
local function mine(word, i)
    local h = heads[numbers[i]]
    return h and byte(h) == LEASED and sub(h, 7, 14) == sub(word, 16 * i - 7, 16 * i) and h
end
