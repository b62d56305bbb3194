-- A block are the 1,024 numbers of a partition whose first six bytes are the same: a batch is mostly in
-- one, so keeping the numbers in order costs next to nothing. by: 1, or -1. in_order: they ascend.
local function tally(numbers, by, in_order)
    local sums, count = {}, #numbers
    local first = count > 0 and sub(numbers[1], 1, 6)
    if count > 0 and in_order and sub(numbers[count], 1, 6) == first then
        sums[first] = by * count
        count = 0
    end
    for i = 1, count do
        local block = sub(numbers[i], 1, 6)
        sums[block] = (sums[block] or 0) + by
    end
    for block, sum in pairs(sums) do
        local left = call('HINCRBY', B, block, sum)
        if left <= 0 then
            call('HDEL', B, block)
            call('ZREM', N, block)
        elseif left == sum then
            call('ZADD', N, '0', block)
        end
    end
end
