-- PAUSE. ARGV: now, channel, queue, 1 or 0.
-- @include queue.inc.lua
-- @include queue_state.inc.lua
local flag = tonumber(ARGV[4])
load()
if paused == flag then
    return {'DONE', now, '', 0}
end
paused = flag
save()
if flag == 0 then
    ring()
end
return {'DONE', now, '', 1}
