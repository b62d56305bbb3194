// Each rule taken out of a script of queues (src/redis/lua/queue*.lua) is seen by random programs:
// an answer is not the model's any more.

#include "queue_program.h"

#include "../queue_redis_rig.h"
#include "script_mutations.h"

enum { RUNS = 12, STEPS = 1500 };

static test_redis *server;

static void turn(void *arg) {
    limits_turn(arg, 20);
}

static void programs(void **state) {
    (void)state;
    char why[QUEUE_WHY_SIZE];

    // Always the same ones: chance is not to say whether a rule was seen.
    for (size_t i = 0; i < RUNS; i++) {
        limits_rig rig;
        (void)test_redis_ask(server, "FLUSHALL");
        limits_open_at(&rig, server, 1);
        queue_run run = {.port = fb_remote_queue_port(rig.remote[0]),
                         .seed = 12 + 7 * i,
                         .steps = STEPS,
                         .payloads = true,
                         .about = true,
                         .turn = turn,
                         .turn_arg = &rig};
        if (!queue_program_run(&run, why)) {
            fail_msg("%s", why);
        }
        limits_close(&rig);
    }
}

#define PROGRAMS cmocka_unit_test(programs)

static const script_mutation MUTATIONS[] = {
    // ENQUEUE
    {"a mark that is there refuses", FB_SCRIPT_queue_add,
     "if ARGV[5] ~= '' and not mark_below(ARGV[5], ARGV[6]) then", "if false then", PROGRAMS},
    {"a mark is raised", FB_SCRIPT_queue_add, "mark_set(ARGV[5], ARGV[6], 0)", "", PROGRAMS},
    {"a key is one's own", FB_SCRIPT_queue_add, "(taken[key] or call('HGET', U, key))",
     "taken[key]", PROGRAMS},
    {"a key is one's own within a call", FB_SCRIPT_queue_add, "taken[key] or", "", PROGRAMS},
    {"a delay counts from now", FB_SCRIPT_queue_add, "delay > 0 and now + delay",
     "delay > 0 and delay", PROGRAMS},
    {"a life ends", FB_SCRIPT_queue_add, "life > 0 and now + life or 0", "0", PROGRAMS},
    {"so many at the most", FB_SCRIPT_queue_add, "#numbers > most then", "#numbers > most + 1 then",
     PROGRAMS},
    {"the dead do not count", FB_SCRIPT_queue_add, "- call('ZCARD', D)", "", PROGRAMS},
    {"a key is kept", FB_SCRIPT_queue_add, "call('HSET', U, unpack(keys))", "", PROGRAMS},
    // ACK, RESERVE
    {"only who has it", FB_SCRIPT_queue_take, "sub(h, 7, 14) == sub(words, 16 * i - 7, 16 * i)",
     "true", PROGRAMS},
    {"only what is leased", FB_SCRIPT_queue_take, "byte(h) == LEASED and", "", PROGRAMS},
    {"done once", FB_SCRIPT_queue_take, "seen[number] = true", "", PROGRAMS},
    {"a key is free when it is done", FB_SCRIPT_queue_take, "call('HDEL', U, unpack(keys))", "",
     PROGRAMS},
    {"what is done leaves the lease", FB_SCRIPT_queue_take, "call('ZREM', L, unpack(gone))", "",
     PROGRAMS},
    {"a lease ends", FB_SCRIPT_queue_take, "if until_next <= now then", "if false then", PROGRAMS},
    {"attempts are used up", FB_SCRIPT_queue_take, "back and attempt >= attempts", "false",
     PROGRAMS},
    {"abandoned stands first", FB_SCRIPT_queue_take, "back and place_first(level) or", "",
     PROGRAMS},
    {"of the abandoned the oldest", FB_SCRIPT_queue_take,
     "for i = back and #over or 1, back and 1 or #over, back and -1 or 1 do", "for i = 1, #over do",
     PROGRAMS},
    {"abandoned is due now", FB_SCRIPT_queue_take, "back and now or due", "due", PROGRAMS},
    {"what is due is ready", FB_SCRIPT_queue_take, "if due_next <= now then", "if false then",
     PROGRAMS},
    {"paused", FB_SCRIPT_queue_take, "if paused == 0 then", "if true then", PROGRAMS},
    {"passed over eight times", FB_SCRIPT_queue_take, "passed[level + 1] >= 8", "false", PROGRAMS},
    {"eight, not nine", FB_SCRIPT_queue_take, "passed[level + 1] >= 8", "passed[level + 1] >= 9",
     PROGRAMS},
    {"one's own turn where there is no other", FB_SCRIPT_queue_take,
     "taken > claims_before and 0 or", "", PROGRAMS},
    {"what was claimed alone is in line no more", FB_SCRIPT_queue_take,
     "call('ZREMRANGEBYRANK', R, 0, used - 1)", "", PROGRAMS},
    {"the less urgent are passed over", FB_SCRIPT_queue_take, "other > level and", "", PROGRAMS},
    {"one's own turn", FB_SCRIPT_queue_take, "passed[level + 1] = 0\nend\nfor", "\nend\nfor",
     PROGRAMS},
    {"an empty level was not passed over", FB_SCRIPT_queue_take,
     "if line.left == 0 then\npassed[level + 1] = EMPTY", "if line.left == 0 then\n", PROGRAMS},
    {"expired is not claimed", FB_SCRIPT_queue_take, "(expires == 0 or expires > now)", "true",
     PROGRAMS},
    {"an attempt counts when it is claimed", FB_SCRIPT_queue_take, "attempt + 1, token",
     "attempt, token", PROGRAMS},
    {"tokens in turn", FB_SCRIPT_queue_take, "token + taken", "token", PROGRAMS},
    {"one's own lease", FB_SCRIPT_queue_take, "(lease > 0 and lease or own)", "own", PROGRAMS},
    {"the next end", FB_SCRIPT_queue_take, "until_next = math.min(until_next, ends)", "", PROGRAMS},
    {"what was claimed is in line no more", FB_SCRIPT_queue_take, "call('ZREM', R, unpack(gone))",
     "", PROGRAMS},
    {"the dead go by their age", FB_SCRIPT_queue_take, "over <= 0 and oldest[2] + keep > now",
     "over <= 0", PROGRAMS},
    {"the dead go by their number", FB_SCRIPT_queue_take, "over <= 0 and oldest[2]", "oldest[2]",
     PROGRAMS},
    {"the dead free their keys", FB_SCRIPT_queue_take, "call('HDEL', U, unpack(dead_keys))", "",
     PROGRAMS},
    // FAIL
    {"permanent", FB_SCRIPT_queue_fail, "permanent == 1 or attempt", "attempt", PROGRAMS},
    {"the last attempt", FB_SCRIPT_queue_fail, "attempt >= attempts then",
     "attempt > attempts then", PROGRAMS},
    {"twice as long", FB_SCRIPT_queue_fail, "2 ^ (attempt - 1)", "1", PROGRAMS},
    {"jitter", FB_SCRIPT_queue_fail, "math.floor(half * random / 1024)", "0", PROGRAMS},
    {"its error", FB_SCRIPT_queue_fail, "h = with_error(h)", "", PROGRAMS},
    {"failed once", FB_SCRIPT_queue_fail, "heads[number] = false", "", PROGRAMS},
    {"failed has no lease", FB_SCRIPT_queue_fail, "call('ZREM', L, unpack(gone))", "", PROGRAMS},
    // RELEASE, EXTEND
    {"it does not count", FB_SCRIPT_queue_release, "open('>I4', h, 3) - 1", "open('>I4', h, 3)",
     PROGRAMS},
    {"handed back first", FB_SCRIPT_queue_release, "place_first(byte", "place_last(byte", PROGRAMS},
    {"the first named first", FB_SCRIPT_queue_release, "for i = #back, 1, -1 do",
     "for i = 1, #back do", PROGRAMS},
    {"longer", FB_SCRIPT_queue_extend, "call('ZADD', L, unpack(leased))", "", PROGRAMS},
    {"progress", FB_SCRIPT_queue_extend, "h = with_progress(h)", "", PROGRAMS},
    {"progress stays", FB_SCRIPT_queue_extend, "if text ~= '' then", "if true then", PROGRAMS},
    // CANCEL, PURGE, KICK, PAUSE
    {"cancelled once", FB_SCRIPT_queue_cancel, "seen[numbers[i]] = true", "", PROGRAMS},
    {"cancelled keys", FB_SCRIPT_queue_cancel, "many('HDEL', U, keys)", "", PROGRAMS},
    {"a dead one's key", FB_SCRIPT_queue_cancel, "state ~= DEAD and key_of", "key_of", PROGRAMS},
    {"cancelled levels", FB_SCRIPT_queue_cancel, "find_empty()\nsave()", "save()", PROGRAMS},
    {"so many are purged", FB_SCRIPT_queue_purge, "count - 1", "count", PROGRAMS},
    {"another's key", FB_SCRIPT_queue_kick, "(keys[key] or call('HEXISTS', U, key) == 1)", "false",
     PROGRAMS},
    {"new attempts", FB_SCRIPT_queue_kick, "from == DEAD and 0 or open('>I4', h, 3)",
     "open('>I4', h, 3)", PROGRAMS},
    {"its life is over", FB_SCRIPT_queue_kick, "from == DEAD and 0 or expires", "expires",
     PROGRAMS},
    {"its key again", FB_SCRIPT_queue_kick, "call('HSET', U, key, number)", "", PROGRAMS},
    {"paused already", FB_SCRIPT_queue_pause, "if paused == flag then", "if false then", PROGRAMS},
    // LIST, IMPORT
    {"after", FB_SCRIPT_queue_list, "if value > after then", "if true then", PROGRAMS},
    {"by number", FB_SCRIPT_queue_list, "table.sort(numbers)", "", PROGRAMS},
    {"in the place of its like", FB_SCRIPT_queue_import, "replace(number)\n", "\n", PROGRAMS},
    {"numbers go on", FB_SCRIPT_queue_import, "made = math.max(made, math.floor(value / 64))", "",
     PROGRAMS},
    {"without another's key", FB_SCRIPT_queue_import, "h = without_key(h)", "", PROGRAMS},
    {"only above the mark", FB_SCRIPT_queue_import, "if value > above then", "if true then",
     PROGRAMS},
    // Marks
    {"a mark ends", FB_SCRIPT_queue_mark, "(ends == 0 or ends > now)", "true", PROGRAMS},
    {"marks of a beginning", FB_SCRIPT_queue_mark, "if sub(each, 1, #name) ~= name then",
     "if false then", PROGRAMS},
    {"so many marks", FB_SCRIPT_queue_mark, "if there and count > 0 then", "if there then",
     PROGRAMS},
};

static void test_scripts__each_rule_taken_out_is_seen(void **state) {
    (void)state;
    script_mutations_try(MUTATIONS, sizeof MUTATIONS / sizeof *MUTATIONS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scripts__each_rule_taken_out_is_seen),
    };
    if (!test_redis_present()) {
        return 77;  // skipped
    }
    server = test_redis_new("appendonly yes");
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_redis_free(server);
    return failed;
}
