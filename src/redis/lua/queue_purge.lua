-- PURGE. ARGV: now, channel, queue, state and count.
-- @include queue.inc.lua
-- @include queue_state.inc.lua
-- @include queue_many.inc.lua
-- @include queue_blocks.inc.lua
-- @include queue_remove.inc.lua
local state, count = open('>I8I8', ARGV[4])
local set = ({[SCHEDULED] = S, [READY] = R, [LEASED] = L, [DEAD] = D})[state]
local listed = count > 0 and call('ZRANGE', set, 0, count - 1) or {}
local found, gone, heads = heads_of(listed), {}, {}
for i = 1, #listed do
    if found[i] then
        gone[#gone + 1] = listed[i]
        heads[#gone] = found[i]
    end
end
remove(gone, heads)
if #gone < #listed then
    many('ZREM', set, listed)
end
return {'DONE', now, '', #gone}
