-- CANCEL. ARGV: now, channel, queue, numbers in one word.
-- @include queue.inc.lua
-- @include queue_state.inc.lua
-- @include queue_many.inc.lua
-- @include queue_blocks.inc.lua
-- @include queue_remove.inc.lua
local results, numbers, gone, heads, seen = {}, {}, {}, {}, {}
for i = 1, #ARGV[4] / 8 do
    numbers[i] = sub(ARGV[4], 8 * i - 7, 8 * i)
end
local found = heads_of(numbers)
for i = 1, #numbers do
    local is_there = found[i] and not seen[numbers[i]]
    if is_there then
        seen[numbers[i]] = true
        gone[#gone + 1] = numbers[i]
        heads[#gone] = found[i]
    end
    results[i] = result(is_there and 0 or 1, 0, 0)
end
remove(gone, heads)
return {'DONE', now, table.concat(results), #gone}
