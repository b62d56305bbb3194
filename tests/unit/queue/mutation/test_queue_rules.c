// Rules of the machine: each is taken out, and some answer of a random program is not the model's any
// more.

#include "support.h"

#include "base/rule.h"
#include "queue/machine.h"
#include "queue_program.h"

// Whether every answer of a program was right.
static bool is_right(uint64_t seed, char *why) {
    queue_program *p = malloc(sizeof(*p));
    model *m = calloc(1, sizeof(*m));
    model_reply *wanted = calloc(1, sizeof(*wanted));
    fb_machine *machine = NULL;
    bool same = true;

    assert_true(p != NULL && m != NULL && wanted != NULL);
    assert_ok(fb_machine_new(&machine));
    queue_program_init(p, seed);
    for (int i = 0; i < 3000 && same; i++) {
        const fb_store_request *request = queue_program_next(p, m);
        fb_store_reply got;
        model_step(m, request, p->now_ms, wanted);
        assert_ok(fb_machine_step(machine, request, p->now_ms, &got));
        queue_match match = {.request = request, .wanted = &wanted->reply, .got = &got,
                             .why = why};
        same = queue_replies_match(&match);
        fb_machine_keep(machine);
    }
    fb_machine_free(machine);
    free(wanted);
    free(m);
    free(p);
    return same;
}

static void test_queue_rules__are_all_needed(void **state) {
    static const char *const rules[] = {"queue_attempts", "queue_dead_max", "queue_ageing",
                                        "queue_expires", "queue_empty_level", "queue_mark",
                                        "queue_full", "queue_token", "queue_handed_back"};
    char why[QUEUE_WHY_SIZE];

    for (uint64_t seed = 1; seed <= 4; seed++) {
        fb_rule_without(NULL);
        if (!is_right(seed, why)) {
            fail_msg("%s", why);
        }
        for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
            fb_rule_without(rules[i]);
            if (is_right(seed, why)) {
                fail_msg("without %s all is well (seed %llu)", rules[i],
                         (unsigned long long)seed);
            }
        }
    }
    fb_rule_without(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_queue_rules__are_all_needed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
