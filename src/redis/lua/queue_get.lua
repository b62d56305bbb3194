-- GET. ARGV: now, channel, queue, numbers in one word.
-- @include queue.inc.lua
local results, numbers, answer = {}, {}, {'DONE', now, '', 0}
for i = 1, #ARGV[4] / 8 do
    numbers[i] = sub(ARGV[4], 8 * i - 7, 8 * i)
end
if #numbers == 0 then
    return answer
end
local heads = call('HMGET', H, unpack(numbers))
for i = 1, #numbers do
    if heads[i] then
        answer[#answer + 1] = numbers[i]
        answer[#answer + 1] = heads[i]
        answer[#answer + 1] = apart(numbers[i], heads[i])
    end
    results[i] = result(heads[i] and 0 or 1, 0, 0)
end
answer[3] = table.concat(results)
return answer
