// Each rule taken out of a script of limits (src/redis/lua/limit*.lua) fails a claim about them.

#include "../limits_claims.h"
#include "script_mutations.h"

#define DECIDES LIMITS_CLAIM(the_script_decides_as_memory_does)
#define LEASES LIMITS_CLAIM(leases_live_as_in_an_array)

static const script_mutation MUTATIONS[] = {
    {"the server's clock has microseconds", FB_SCRIPT_limit, "time[1] * 1000000 + time[2]",
     "time[1] * 1000000", LIMITS_CLAIM(the_servers_clock_counts)},
    {"another override is told", FB_SCRIPT_limit, "if other then", "if false then",
     LIMITS_CLAIM(another_override_is_told_and_nothing_done)},
    {"each part has its own override", FB_SCRIPT_limit, "KEYS[count + i]", "KEYS[count + 1]",
     LIMITS_CLAIM(another_override_is_told_and_nothing_done)},
    {"an override has six bytes", FB_SCRIPT_limit, "if #stored ~= 6 then", "if false then",
     LIMITS_CLAIM(bytes_that_are_no_override_are_none)},
    {"a period begins", FB_SCRIPT_limit, "now < p[6] or", "",
     LIMITS_CLAIM(another_period_is_told_and_nothing_done)},
    {"a period ends", FB_SCRIPT_limit, "or now >= p[7]", "or now > p[7]",
     LIMITS_CLAIM(another_period_is_told_and_nothing_done)},
    {"what is the same is not written", FB_SCRIPT_limit, "if after ~= before and", "if",
     LIMITS_CLAIM(what_changes_nothing_writes_nothing)},
    {"who looks does not write", FB_SCRIPT_limit, "and act ~= 'look' then", "then",
     LIMITS_CLAIM(what_changes_nothing_writes_nothing)},
    {"nothing used is no key", FB_SCRIPT_limit, "if after == '' then", "if false then",
     LIMITS_CLAIM(what_changes_nothing_writes_nothing)},
    {"a state ends", FB_SCRIPT_limit, ", 'PX', string.format('%.0f', p[5])", "",
     LIMITS_CLAIM(what_changes_nothing_writes_nothing)},
    {"one denied: none is charged", FB_SCRIPT_limit, "all = all and passed[i]", "",
     LIMITS_CLAIM(all_are_charged_or_none)},
    {"who is denied pays alone", FB_SCRIPT_limit, "(not passed[i] and plans[i][2] == 1)", "false",
     LIMITS_CLAIM(all_are_charged_or_none)},
    {"only who is denied pays", FB_SCRIPT_limit, "(not passed[i] and plans[i][2] == 1)",
     "plans[i][2] == 1", LIMITS_CLAIM(all_are_charged_or_none)},
    {"the second sees the first's charge", FB_SCRIPT_limit, "tried[key] or states[key]",
     "states[key]", LIMITS_CLAIM(one_rule_named_twice_counts_twice)},
    {"what was written is what there is", FB_SCRIPT_limit, "states[key] = after", "",
     LIMITS_CLAIM(one_rule_named_twice_counts_twice)},
    {"a cost above the limit is not charged", FB_SCRIPT_limit, "(allowed or p[2] == 1)",
     "(allowed or p[2] % 2 == 1)", DECIDES},
    {"charge_denied", FB_SCRIPT_limit, "(allowed or p[2] == 1)", "allowed", DECIDES},
    {"a cost of 0 changes nothing", FB_SCRIPT_limit, "return act == 'take' and p[4] > 0",
     "return act == 'take'", DECIDES},
    // RING
    {"ring: whole units", FB_SCRIPT_limit, " and #state % 4 == 0", "", DECIDES},
    {"ring: no more than 64", FB_SCRIPT_limit, " and #state <= 260", "", DECIDES},
    {"ring: a time below 2^53", FB_SCRIPT_limit, "count > 0 and newest < LATE", "count > 0", DECIDES},
    {"ring: offsets ascend", FB_SCRIPT_limit, "is_state and there[i] >= there[i - 1] and",
     "is_state and", DECIDES},
    {"ring: offsets are within the window", FB_SCRIPT_limit, " and there[i] < window", "", DECIDES},
    {"ring: a clock that went back", FB_SCRIPT_limit, "if count > 0 and newest > tick then",
     "if false then", DECIDES},
    {"ring: a unit leaves", FB_SCRIPT_limit, "age + there[live + 1] < window",
     "age + there[live + 1] <= window", DECIDES},
    {"ring: the limit", FB_SCRIPT_limit, "live + cost <= limit", "live + cost < limit", DECIDES},
    {"ring: the oldest is given back", FB_SCRIPT_limit, "8 + 4 * (live - cost - 1)",
     "8 + 4 * (live - 1)", DECIDES},
    {"ring: a denial saturates", FB_SCRIPT_limit, "math.min(live, limit - cost)", "live", DECIDES},
    {"ring: all move along", FB_SCRIPT_limit, "units[cost - 1 + i] = age + there[i]",
     "units[cost - 1 + i] = there[i]", DECIDES},
    // PARTS
    {"parts: a whole state", FB_SCRIPT_limit, "if #state == 8 + 4 * last then",
     "if #state >= 8 + 4 * last then", DECIDES},
    {"parts: a time below 2^53", FB_SCRIPT_limit, " or there[1] >= LATE then", " then", DECIDES},
    {"parts: a clock that went back", FB_SCRIPT_limit, "elseif there[1] > index then",
     "elseif there[1] > index + 1000 then", DECIDES},  // (further back it would count for hours)
    {"parts: one sub-window more", FB_SCRIPT_limit, "for i = 1, last - shift do",
     "for i = 1, last - shift - 1 do", DECIDES},
    {"parts: the newest may stay", FB_SCRIPT_limit, "costs[i] = math.min(here, left)",
     "costs[i] = here", DECIDES},
    {"parts: the oldest are given back", FB_SCRIPT_limit, "left = used - cost", "left = used", DECIDES},
    // TOKEN
    {"token: a whole state", FB_SCRIPT_limit, "if #state == 12 then", "if #state >= 12 then",
     DECIDES},
    {"token: a time below 2^53", FB_SCRIPT_limit, "if whole >= LATE then", "if whole > LATE then",
     DECIDES},
    {"token: a rest of another rate", FB_SCRIPT_limit, "elseif rest >= rate then",
     "elseif false then", DECIDES},
    {"token: it runs down", FB_SCRIPT_limit, "if whole >= now then", "if true then", DECIDES},
    {"token: a clock that went back", FB_SCRIPT_limit,
     "if used > full or (used == full and rest > full_rest) then", "if false then", DECIDES},
    {"token: rests add up", FB_SCRIPT_limit, "if sum_rest >= rate then", "if false then", DECIDES},
    {"token: rests count", FB_SCRIPT_limit, "(sum == full and sum_rest > full_rest)", "false",
     DECIDES},
    {"token: a denial saturates", FB_SCRIPT_limit, "if over then", "if false then", DECIDES},
    {"token: rests are given back", FB_SCRIPT_limit, "if sum_rest < 0 then", "if false then", DECIDES},
    {"token: no less than nothing", FB_SCRIPT_limit, "if sum < 0 or (sum == 0 and sum_rest == 0) then",
     "if false then", DECIDES},
    {"token: what is impossible", FB_SCRIPT_limit, "not (over or impossible(p))", "not over", DECIDES},
    // FIXED
    {"fixed: a time below 2^53", FB_SCRIPT_limit, "if from >= LATE then", "if from > LATE then",
     DECIDES},
    {"fixed: a clock that went back", FB_SCRIPT_limit, "elseif from > start then", "elseif false then",
     DECIDES},
    {"fixed: a period that is over", FB_SCRIPT_limit, "elseif from < start then", "elseif false then",
     DECIDES},
    {"fixed: a denial saturates", FB_SCRIPT_limit, "math.min(used + cost, limit)", "used + cost",
     DECIDES},
    {"fixed: no less than nothing", FB_SCRIPT_limit, "used > cost and", "", DECIDES},
    // Leases
    {"leases: an override is told", FB_SCRIPT_limit_slot, "if other then", "if false then",
     LIMITS_CLAIM(leases_heed_overrides_and_end_with_their_key)},
    {"leases: the key ends", FB_SCRIPT_limit_slot, "redis.call('PEXPIRE', leases, ARGV[6])", "",
     LIMITS_CLAIM(leases_heed_overrides_and_end_with_their_key)},
    {"leases: they end", FB_SCRIPT_limit_slot, "redis.call('ZREMRANGEBYSCORE', leases, '-inf', text(now))",
     "", LEASES},
    {"leases: a clock that went back", FB_SCRIPT_limit_slot, "if ARGV[1] ~= 'release' then",
     "if false then", LEASES},
    {"leases: so many at a time", FB_SCRIPT_limit_slot, "< tonumber(ARGV[4])", "<= tonumber(ARGV[4])",
     LEASES},
    {"leases: who has it asks again", FB_SCRIPT_limit_slot, "(there or redis.call", "(redis.call",
     LEASES},
    {"leases: only who has it renews", FB_SCRIPT_limit_slot, "'renew' and there then", "'renew' then",
     LEASES},
    {"leases: a release", FB_SCRIPT_limit_slot, "redis.call('ZREM', leases, token)", "", LEASES},
    {"leases: none is longer than the longest", FB_SCRIPT_limit_slot,
     "math.min(tonumber(ends) - now, window)", "tonumber(ends) - now", LEASES},
};

static void test_scripts__each_rule_taken_out_fails_a_claim(void **state) {
    (void)state;
    script_mutations_try(MUTATIONS, sizeof MUTATIONS / sizeof *MUTATIONS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scripts__each_rule_taken_out_fails_a_claim),
    };
    if (!test_redis_present()) {
        return 77;  // skipped
    }
    limits_server = test_redis_new("save \"\"");
    limits_subjects = 150;
    const struct CMUnitTest all[] = {LIMITS_CLAIMS};
    (void)all;  // also those that no mutation names
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_redis_free(limits_server);
    return failed;
}
