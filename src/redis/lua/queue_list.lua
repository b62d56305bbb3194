-- LIST. ARGV: now, channel, queue, numbers (state + 1, or 0; after, count, with payloads, partition).
-- A small set is put in order; otherwise the blocks of numbers are gone through, at most 20 at once. The
-- answer's number says after which one to go on; 0: that was all.
-- @include queue.inc.lua
local state, after, count, full, partition = open('>I8I8I8I8I8', ARGV[4])
local answer = {'DONE', now, '', 0}
local set = ({S, R, L, D})[state]
local function take(number, h)
    if count > 0 and h and (not set or byte(h) == state - 1) then
        answer[#answer + 1] = number
        answer[#answer + 1] = h
        answer[#answer + 1] = full == 1 and apart(number, h) or ''
        count = count - 1
    end
end
if set and call('ZCARD', set) <= 1000 then
    local numbers = {}
    for _, number in ipairs(call('ZRANGE', set, 0, -1)) do
        local value = open('>I8', number)
        if value > after then
            numbers[#numbers + 1] = value
        end
    end
    table.sort(numbers)
    for i = 1, math.min(#numbers, count) do
        local number = pack('>I8', numbers[i])
        take(number, call('HGET', H, number))
    end
    return answer
end
local blocks = call('ZRANGEBYLEX', N, '[' .. sub(pack('>I8', after), 1, 6), '+', 'LIMIT', 0, 20)
for _, block in ipairs(blocks) do
    local numbers = {}
    for i = 0, 1023 do
        local number = block .. pack('>I2', 64 * i + partition)
        if open('>I8', number) > after then
            numbers[#numbers + 1] = number
        end
    end
    local heads = #numbers > 0 and call('HMGET', H, unpack(numbers)) or {}
    for i = 1, #heads do
        take(numbers[i], heads[i])
    end
    if count == 0 then
        return answer
    end
    after = math.max(after, (open('>I8', block .. '\255\255')))
end
answer[4] = #blocks == 20 and after or 0
return answer
