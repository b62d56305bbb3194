-- Decides 1 to 8 limits of one subject in one step, as src/limit/plan.h says. The states' bytes are those
-- of src/limit, to the byte: all numbers are whole and below 2^53.
-- KEYS: the states, then as many overrides. ARGV: act, now ('': the server's time), and for each part
-- its numbers (redis/limits_step.c), with the override as known behind them.
-- Not refused as a whole where memory is full: what changes nothing is answered all the same.
-- @include limit_now.inc.lua
-- @include limit_override.inc.lua
local LATE = 9007199254740992
-- p: form, flags, limit, cost, milliseconds for which a state is kept, numbers of the form.
local function impossible(p)
    return p[2] >= 2
end
-- Whether a question changes the state: what is allowed, and with charge_denied what is not.
local function charges(act, p, allowed)
    return act == 'take' and p[4] > 0 and (allowed or p[2] == 1)
end
-- @include limit_ring.inc.lua
-- @include limit_parts.inc.lua
-- @include limit_token.inc.lua
-- @include limit_fixed.inc.lua
local FORMS = {[0] = ring, parts, token, fixed}
local act, now, count = ARGV[1], now_of(ARGV[2]), #KEYS / 2
local plans, states, answer = {}, {}, {'DONE', now}
for i = 1, count do
    local other = other_override(i, KEYS[count + i], string.sub(ARGV[2 + i], 51), now)
    if other then
        return other
    end
    local p = {struct.unpack('<I1I1I4I4I8I8I8I8I8', ARGV[2 + i])}
    if p[1] == 3 and (now < p[6] or now >= p[7]) then
        return {'CLOCK', now}
    end
    plans[i] = p
    states[KEYS[i]] = redis.call('GET', KEYS[i]) or ''
end
local function settle(i, how)
    local key, p = KEYS[i], plans[i]
    local before = states[key]
    local allowed, after = FORMS[p[1]](how, before, now, p)
    if after ~= before and act ~= 'look' then
        if after == '' then
            redis.call('DEL', key)
        else
            redis.call('SET', key, after, 'PX', string.format('%.0f', p[5]))
        end
        states[key] = after
    end
    answer[2 + 2 * i] = after
    return allowed
end
if count == 1 then
    answer[3] = settle(1, act) and 1 or 0
    return answer
end
-- It is tried whether all are allowed, one after the other. Then they are charged, or, where one is
-- denied, it alone, if its rule says so.
local all, tried, passed = true, {}, {}
for i = 1, count do
    local key, p = KEYS[i], plans[i]
    passed[i], tried[key] = FORMS[p[1]](act == 'give' and act or 'take', tried[key] or states[key],
        now, p)
    all = all and passed[i]
end
for i = 1, count do
    local charge = all or (not passed[i] and plans[i][2] == 1)
    settle(i, charge and act or 'look')
    answer[1 + 2 * i] = passed[i] and 1 or 0
end
return answer
