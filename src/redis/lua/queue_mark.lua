-- Marks. ARGV: now, channel, queue, verb, name (or its beginning), value, life and count, where a list
-- begins ('[name' or '(name'). They come as name, value, ''.
-- @include queue.inc.lua
-- @include queue_marks.inc.lua
local verb, name, answer = ARGV[4], ARGV[5], {'DONE', now, '', 0}
local value, life, count = sub(ARGV[6], 1, 8), open('>I8I8', ARGV[6], 9)
local function tell(of, there)
    answer[#answer + 1] = of
    answer[#answer + 1] = there
    answer[#answer + 1] = ''
end
if verb == 'set' then
    mark_set(name, value, life > 0 and now + life or 0)
elseif verb == 'drop' then
    answer[4] = mark_of(name) and 1 or 0
    mark_drop({name})
elseif verb == 'get' then
    local there = mark_of(name)
    if not there then
        return {'MISS', now, '', 0}
    end
    tell(name, there)
end
if verb ~= 'list' then
    return answer
end
local from, is_over = ARGV[7], false
while not is_over and count > 0 do
    local names = call('ZRANGEBYLEX', MN, from, '+', 'LIMIT', 0, 1000)
    is_over = #names < 1000
    for _, each in ipairs(names) do
        if sub(each, 1, #name) ~= name then
            is_over = true
            break
        end
        local there = mark_of(each)
        if there and count > 0 then
            tell(each, there)
            count = count - 1
        end
        from = '(' .. each
    end
end
return answer
