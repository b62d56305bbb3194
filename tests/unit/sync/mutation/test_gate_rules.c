// Rules of the gate that the simulation has to look for too long: each is taken out, and it shows.

#include "base/rule.h"
#include "gate_rig.h"

// A gate that has forgotten a wide invalidation, and has opened an epoch for it which this node does
// not follow yet. Whether values are taken meanwhile.
static bool takes_too_early(void) {
    gate_rig at = gate_new();
    fb_gate_free(at.gate);
    fb_sync_free(at.sync);
    fb_sync_options options = gate_options(at.cache);
    options.outbox_max = 0;
    assert_ok(fb_sync_new(&options, &at.sync));
    assert_ok(fb_gate_new(at.sync, 0, &at.gate));
    gate_epoch(&at, GATE_EPOCH, 0);
    assert_acts(gate_wide(&at, 1, FB_SCOPE_ALL, ""), "1=FB_OK");
    assert_acts(gate_link(&at, true), "epoch:4");
    fb_sync_reply reply = gate_reply_of(&at, 0, FB_SYNC_DONE, 0);
    reply.mark.epoch = at.last.token;
    assert_acts(gate_give(&at, &reply), "suspect:4");
    bool takes = strcmp(gate_get(&at, 70, "page:7"), "get:page:7") == 0;
    gate_done(&at);
    return takes;
}

static void test_rule__renewed_wide(void **state) {
    assert_false(takes_too_early());
    fb_rule_without("renewed_wide");
    assert_true(takes_too_early());
    fb_rule_without(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rule__renewed_wide)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
