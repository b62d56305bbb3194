// The loads under way: who is doomed by what.

#include "base/check.h"
#include "cache/tickets.h"
#include "support.h"

static fb_ticket *begin(fb_tickets *tickets, const char *key) {
    fb_ticket *ticket = fb_ticket_new(tickets, fb_str_of(key));
    assert_non_null(ticket);
    fb_ticket_register(ticket);
    return ticket;
}

static void end(fb_ticket *ticket) {
    fb_ticket_unregister(ticket);
    fb_ticket_free(ticket);
}

static void doom(fb_tickets *tickets, const char *key) {
    fb_stripe *stripe = fb_tickets_lock(tickets, fb_str_of(key));
    fb_stripe_doom(stripe, fb_str_of(key));
    fb_stripe_unlock(stripe);
}

static void test_tickets__a_key_dooms_its_own_loads_exactly(void **state) {
    fb_tickets *tickets = NULL;
    assert_ok(fb_tickets_new(1, &tickets));
    doom(tickets, "a");
    fb_ticket *one = begin(tickets, "a");
    fb_ticket *two = begin(tickets, "a");
    fb_ticket *other = begin(tickets, "b");
    fb_ticket *empty = begin(tickets, "");
    assert_false(one->doomed || two->doomed || other->doomed || empty->doomed);
    assert_true(fb_tickets_any(tickets, FB_STR("a")));
    doom(tickets, "a");
    assert_true(one->doomed && two->doomed);
    assert_false(other->doomed || empty->doomed);
    fb_ticket *later = begin(tickets, "a");
    assert_false(later->doomed);
    end(one);
    end(two);
    assert_true(fb_tickets_any(tickets, FB_STR("a")));
    end(later);
    assert_false(fb_tickets_any(tickets, FB_STR("a")));
    doom(tickets, "");
    assert_true(empty->doomed);
    end(other);
    end(empty);
    fb_tickets_free(tickets);
}

static bool ends_in_7(void *arg, fb_str key) {
    return key.len > 0 && key.ptr[key.len - 1] == '7';
}

static void test_tickets__a_walk_dooms_what_matches_or_all(void **state) {
    fb_tickets *tickets = NULL;
    fb_ticket *list[1000];
    assert_ok(fb_tickets_new(1, &tickets));
    for (int i = 0; i < 1000; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "%d", i);
        list[i] = begin(tickets, key);
    }
    fb_tickets_doom_all(tickets, ends_in_7, NULL);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(list[i]->doomed, i % 10 == 7);
    }
    fb_tickets_doom_all(tickets, NULL, NULL);
    for (int i = 0; i < 1000; i++) {
        assert_true(list[i]->doomed);
        end(list[i]);
    }
    fb_tickets_free(tickets);
}

// An array of loads, searched from end to end.
static void test_tickets__random_programs_agree_with_an_array(void **state) {
    enum { LOADS = 40 };
    fb_rng rng = test_rng();
    fb_tickets *tickets = NULL;
    fb_ticket *list[LOADS] = {0};
    int keys[LOADS] = {0};
    bool doomed[LOADS] = {0};
    assert_ok(fb_tickets_new(1, &tickets));
    for (int step = 0; step < 20000; step++) {
        size_t at = (size_t)fb_rng_below(&rng, LOADS);
        int key = (int)fb_rng_below(&rng, 20);
        char name[16];
        (void)snprintf(name, sizeof name, "key%d", key);
        bool any = false;
        for (size_t i = 0; i < LOADS; i++) {
            any = any || (list[i] != NULL && keys[i] == key);
        }
        assert_int_equal(fb_tickets_any(tickets, fb_str_of(name)), any);
        if (fb_rng_below(&rng, 3) == 0) {
            doom(tickets, name);
            for (size_t i = 0; i < LOADS; i++) {
                doomed[i] = doomed[i] || keys[i] == key;
            }
        } else if (list[at] != NULL) {
            assert_int_equal(list[at]->doomed, doomed[at]);
            end(list[at]);
            list[at] = NULL;
        } else {
            list[at] = begin(tickets, name);
            keys[at] = key;
            doomed[at] = false;
        }
    }
    for (size_t i = 0; i < LOADS; i++) {
        if (list[i] != NULL) {
            end(list[i]);
        }
    }
    fb_tickets_free(tickets);
}

static int scenario(void *arg) {
    fb_tickets *tickets = NULL;
    int result = fb_tickets_new(1, &tickets);
    if (result < 0) {
        return result;
    }
    fb_ticket *ticket = fb_ticket_new(tickets, FB_STR("a"));
    fb_ticket_free(ticket);
    fb_tickets_free(tickets);
    return ticket != NULL ? FB_OK : FB_ENOMEM;
}

static void test_tickets__failing_allocations(void **state) {
    assert_int_equal(test_memory_sweep(scenario, NULL), 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tickets__a_key_dooms_its_own_loads_exactly),
        cmocka_unit_test(test_tickets__a_walk_dooms_what_matches_or_all),
        cmocka_unit_test(test_tickets__random_programs_agree_with_an_array),
        cmocka_unit_test(test_tickets__failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
