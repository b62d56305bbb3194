-- What every change of a key does beside: the lease goes, a hold begins or ends, a fence rises.
local function settle(lease, fence, hold, hold_ms, least, fence_ms)
    if hold_ms == '0' then
        redis.call('DEL', lease, hold)
    else
        redis.call('DEL', lease)
        redis.call('SET', hold, '1', 'PX', hold_ms)
    end
    if least ~= '' then
        local there = redis.call('GET', fence)
        if there and older(least, there) then
            least = there
        end
        redis.call('SET', fence, least, 'PX', fence_ms)
    end
end
