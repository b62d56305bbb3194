// Each rule taken out of a script of the shared tier (src/redis/lua) fails a claim about ports.

#include "../../sync/port_claims.h"
#include "../remote_rig.h"
#include "script_mutations.h"

static test_redis *server;

static claims_rig *claims_rig_new(void) {
    remote_rig *rig = calloc(1, sizeof *rig);
    assert_non_null(rig);
    rig->server = server;
    (void)test_redis_ask(server, "FLUSHALL");
    remote_rig_connect(rig);
    return &rig->claims;
}

static void claims_rig_free(claims_rig *claims) {
    remote_rig *rig = (remote_rig *)(void *)claims;
    remote_rig_disconnect(rig);
    free(rig);
}

static const script_mutation MUTATIONS[] = {
    {"a fill needs its lease", FB_SCRIPT_fill, "if lease ~= ARGV[1] .. c[1] then", "if false then",
     CLAIM(a_change_overtakes_a_load)},
    {"a lease is of its epoch", FB_SCRIPT_fill, "lease ~= ARGV[1] .. c[1]",
     "string.sub(lease or '', 1, 8) ~= ARGV[1]",
     CLAIM(another_epoch_voids_values_leases_and_the_log)},
    {"a fill gives its lease back", FB_SCRIPT_fill, "redis.call('DEL', KEYS[3])", "",
     CLAIM(a_lease_is_given_back)},
    {"a fill is not older than the fence", FB_SCRIPT_fill, "if fence and older(ARGV[4], fence) then",
     "if false then", CLAIM(a_fence_refuses_what_is_older)},
    {"a fill is not older than what is there", FB_SCRIPT_fill, "if ARGV[4] ~= NONE then",
     "if false then", CLAIM(source_versions_never_go_back)},
    {"each fill has a version", FB_SCRIPT_fill, "redis.call('HINCRBY', KEYS[1], 'f', 1)", "1",
     CLAIM(a_refresh_stands_beside_the_value)},
    {"a value is of its epoch", FB_SCRIPT_get,
     "if value and string.sub(value, 5, 12) ~= c[1] then", "if false then",
     CLAIM(another_epoch_voids_values_leases_and_the_log)},
    {"a lease of another epoch is none", FB_SCRIPT_get, "and string.sub(lease, 9) == c[1]", "",
     CLAIM(another_epoch_voids_values_leases_and_the_log)},
    {"who has the lease gets it again", FB_SCRIPT_get, "lease ~= mine and", "",
     CLAIM(one_of_two_gets_the_lease)},
    {"one at a time has the lease", FB_SCRIPT_get, "if lease and lease ~= mine", "if false",
     CLAIM(one_of_two_gets_the_lease)},
    {"nobody gets a lease under a hold", FB_SCRIPT_get, "if not held then", "if true then",
     CLAIM(a_hold_keeps_everything_out)},
    {"a refresh gets a lease", FB_SCRIPT_get, "if value and ARGV[3] ~= '1' then", "if value then",
     CLAIM(a_refresh_stands_beside_the_value)},
    {"a drop takes the lease", FB_SCRIPT_drop, "redis.call('DEL', lease, hold)",
     "redis.call('DEL', hold)", CLAIM(a_change_overtakes_a_load)},
    {"a set takes the lease", FB_SCRIPT_set, "redis.call('DEL', lease, hold)",
     "redis.call('DEL', hold)", CLAIM(a_change_overtakes_a_load)},
    {"an addition takes the lease", FB_SCRIPT_add, "redis.call('DEL', lease, hold)",
     "redis.call('DEL', hold)", CLAIM(a_change_overtakes_a_load)},
    {"a new lifetime takes the lease", FB_SCRIPT_expire, "redis.call('DEL', lease, hold)",
     "redis.call('DEL', hold)", CLAIM(a_change_overtakes_a_load)},
    {"a change without a hold ends it", FB_SCRIPT_drop, "redis.call('DEL', lease, hold)",
     "redis.call('DEL', lease)", CLAIM(a_hold_keeps_everything_out)},
    {"a hold takes the lease", FB_SCRIPT_drop, "redis.call('DEL', lease)\n", "",
     CLAIM(a_hold_keeps_everything_out)},
    {"a fence does not sink", FB_SCRIPT_drop, "if there and older(least, there) then",
     "if false then", CLAIM(a_fence_refuses_what_is_older)},
    {"conditions of a set", FB_SCRIPT_set, "if conflict(ARGV[1], ARGV[2], ARGV[3]) then",
     "if false then", CLAIM(conditions_hold_or_tell_what_is_there)},
    {"conditions of a drop", FB_SCRIPT_drop, "if conflict(ARGV[1], ARGV[2], ARGV[3]) then",
     "if false then", CLAIM(conditions_hold_or_tell_what_is_there)},
    {"conditions of a lifetime", FB_SCRIPT_expire, "if conflict(ARGV[1], ARGV[2], ARGV[3]) then",
     "if false then", CLAIM(conditions_hold_or_tell_what_is_there)},
    {"a new lifetime is a new version", FB_SCRIPT_expire,
     "redis.call('SETRANGE', KEYS[2], 12, struct.pack('>I8', tonumber(c[2])))\n", "",
     CLAIM(a_lifetime_is_changed)},
    {"a version is of its epoch", FB_SCRIPT_set, "or (epoch ~= '' and epoch ~= c[1])", "",
     CLAIM(a_version_of_another_epoch_is_none)},
    {"a set is not older than the fence", FB_SCRIPT_set, "(fence and older(ARGV[13], fence))",
     "false", CLAIM(a_fence_refuses_what_is_older)},
    {"a set is not older than what is there", FB_SCRIPT_set,
     "(found and older(ARGV[13], string.sub(found, 29, 36)))", "false",
     CLAIM(source_versions_never_go_back)},
    {"known absence is no value", FB_SCRIPT_set, "local exists = found and", "local exists = found or",
     CLAIM(known_absence_is_no_value)},
    {"known absence is no number", FB_SCRIPT_add, "or string.sub(value, 2, 2) == 'n'", "",
     CLAIM(known_absence_is_no_value)},
    {"an addition keeps the lifetime", FB_SCRIPT_add, ", 'KEEPTTL')", ")",
     CLAIM(adding_keeps_lifetime_and_tags)},
    {"what cannot be added changes nothing", FB_SCRIPT_add, "if type(sum) == 'table' then",
     "if false then", CLAIM(only_numbers_are_added_to)},
    {"a record names the one before", FB_SCRIPT_drop, "local text = c[3] .. rest",
     "local text = '0000000000000000' .. rest", CLAIM(every_change_is_told_in_order)},
    {"a record is told", FB_SCRIPT_add, "redis.call('PUBLISH', channel", "local _ = ({nil, channel",
     CLAIM(every_change_is_told_in_order)},
    {"a log is bounded", FB_SCRIPT_bump, "'MAXLEN', '~', log_max, ", "",
     CLAIM(an_old_record_is_trimmed_away)},
    {"a wide record raises its stamp", FB_SCRIPT_bump, "redis.call('HSET', KEYS[3]", "({nil, nil",
     CLAIM(wide_records_raise_their_stamps)},
    {"a record that is trimmed is gone", FB_SCRIPT_log, "return {'GONE', c[1], c[2], c[3]}", "",
     CLAIM(an_old_record_is_trimmed_away)},
    {"an epoch is opened by who knows the last", FB_SCRIPT_epoch, "known == ARGV[1] and", "",
     CLAIM(an_epoch_is_opened_once)},
    {"a new epoch has a new log", FB_SCRIPT_epoch, "redis.call('UNLINK', unpack(KEYS))", "",
     CLAIM(another_epoch_voids_values_leases_and_the_log)},
    {"a commit is refused where a key is there", FB_SCRIPT_commit,
     "(when == 'absent' and item.exists)", "false",
     CLAIM(a_commit_changes_nothing_where_a_condition_does_not_hold)},
    {"a commit is refused where a version is another", FB_SCRIPT_commit,
     "string.sub(found, 13, 20) ~= ARGV[at + 3]", "false",
     CLAIM(a_commit_changes_nothing_where_a_condition_does_not_hold)},
    {"a commit is refused where a value is gone", FB_SCRIPT_commit, "(not found or", "(found and",
     CLAIM(a_commit_changes_nothing_where_a_condition_does_not_hold)},
    {"a version of a commit is of its epoch", FB_SCRIPT_commit, "or ARGV[at + 4] ~= c[1]", "",
     CLAIM(a_commit_changes_nothing_where_a_condition_does_not_hold)},
    {"known absence is no value to a commit", FB_SCRIPT_commit,
     "item.exists = found and string.sub(found, 2, 2) ~= 'n'", "item.exists = found",
     CLAIM(a_commit_knows_that_a_key_is_known_not_to_exist)},
    {"a commit takes the leases", FB_SCRIPT_commit, "redis.call('DEL', lease, hold)",
     "redis.call('DEL', hold)", CLAIM(a_commit_changes_all)},
    {"what a commit stores has the version of its record", FB_SCRIPT_commit,
     "item.version = tonumber(c[2])", "item.version = 1", CLAIM(a_commit_changes_all)},
    {"a commit's new lifetime is a new version", FB_SCRIPT_commit,
     "redis.call('SETRANGE', value, 12, struct.pack('>I8', item.version))", "",
     CLAIM(a_commit_changes_all)},
    {"what is not there has no lifetime", FB_SCRIPT_commit,
     "if item.act == 'expire' and not item.exists then", "if false then",
     CLAIM(a_commit_changes_all)},
    {"a commit needs every log's epoch", FB_SCRIPT_commit, "if not c[1] then", "if false then",
     CLAIM(a_commit_needs_the_epoch_of_every_log)},
    {"nodes that are silent are forgotten", FB_SCRIPT_nodes, "redis.call('ZREMRANGEBYSCORE'",
     "local _ = ({nil", CLAIM(nodes_live_while_they_say_so)},
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
    server = test_redis_new("stream-node-max-entries 10\nsave \"\"");
    const struct CMUnitTest all[] = {PORT_CLAIMS, PORT_CLAIMS_OF_ONE_SERVER};
    (void)all;  // also those that no mutation names
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_redis_free(server);
    return failed;
}
