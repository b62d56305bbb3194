// The bulkhead, against a list that is searched for who is next.

#include "support.h"

#include "cache/bulkhead.h"

enum { NODES = 64 };

typedef struct fixture {
    fb_bulkhead bulkhead;
    fb_bulkhead_node nodes[NODES];
    fb_bulkhead_node *displaced;
} fixture;

static int enter(fixture *f, int index, fb_priority priority) {
    return fb_bulkhead_enter(&f->bulkhead, &f->nodes[index], priority, &f->displaced);
}

static void test_bulkhead__runs_what_fits_and_queues_the_rest(void **state) {
    fixture f;
    fb_bulkhead_init(&f.bulkhead, 2, 2);
    assert_result(enter(&f, 0, FB_PRIORITY_USER), FB_OK);
    assert_result(enter(&f, 1, FB_PRIORITY_USER), FB_OK);
    assert_result(enter(&f, 2, FB_PRIORITY_USER), FB_PENDING);
    assert_result(enter(&f, 3, FB_PRIORITY_USER), FB_PENDING);
    assert_result(enter(&f, 4, FB_PRIORITY_USER), FB_EOVERLOAD);
    assert_null(f.displaced);
    assert_ptr_equal(fb_bulkhead_leave(&f.bulkhead), &f.nodes[2]);
    assert_ptr_equal(fb_bulkhead_leave(&f.bulkhead), &f.nodes[3]);
    assert_null(fb_bulkhead_leave(&f.bulkhead));
    assert_null(fb_bulkhead_leave(&f.bulkhead));
    assert_int_equal(f.bulkhead.running, 0);
}

static void test_bulkhead__users_go_before_warming(void **state) {
    fixture f;
    fb_bulkhead_init(&f.bulkhead, 1, 8);
    assert_result(enter(&f, 0, FB_PRIORITY_WARM), FB_OK);
    assert_result(enter(&f, 1, FB_PRIORITY_WARM), FB_PENDING);
    assert_result(enter(&f, 2, FB_PRIORITY_EARLY), FB_PENDING);
    assert_result(enter(&f, 3, FB_PRIORITY_REFRESH), FB_PENDING);
    assert_result(enter(&f, 4, FB_PRIORITY_USER), FB_PENDING);
    for (int i = 4; i >= 1; i--) {
        assert_ptr_equal(fb_bulkhead_leave(&f.bulkhead), &f.nodes[i]);
    }
    assert_null(fb_bulkhead_leave(&f.bulkhead));
}

static void test_bulkhead__a_full_queue_gives_up_its_least_important(void **state) {
    fixture f;
    fb_bulkhead_init(&f.bulkhead, 1, 3);
    assert_result(enter(&f, 0, FB_PRIORITY_WARM), FB_OK);
    assert_result(enter(&f, 1, FB_PRIORITY_WARM), FB_PENDING);
    assert_result(enter(&f, 2, FB_PRIORITY_EARLY), FB_PENDING);
    assert_result(enter(&f, 3, FB_PRIORITY_WARM), FB_PENDING);
    // What runs is not interrupted, and one's like is not displaced.
    assert_result(enter(&f, 4, FB_PRIORITY_WARM), FB_EOVERLOAD);
    assert_null(f.displaced);
    assert_result(enter(&f, 5, FB_PRIORITY_USER), FB_PENDING);
    assert_ptr_equal(f.displaced, &f.nodes[3]);
    assert_result(enter(&f, 6, FB_PRIORITY_USER), FB_PENDING);
    assert_ptr_equal(f.displaced, &f.nodes[1]);
    assert_result(enter(&f, 7, FB_PRIORITY_EARLY), FB_EOVERLOAD);
    assert_result(enter(&f, 8, FB_PRIORITY_REFRESH), FB_PENDING);
    assert_ptr_equal(f.displaced, &f.nodes[2]);
    assert_ptr_equal(fb_bulkhead_leave(&f.bulkhead), &f.nodes[5]);
    assert_ptr_equal(fb_bulkhead_leave(&f.bulkhead), &f.nodes[6]);
    assert_ptr_equal(fb_bulkhead_leave(&f.bulkhead), &f.nodes[8]);
}

static void test_bulkhead__without_a_queue_nothing_waits(void **state) {
    fixture f;
    fb_bulkhead_init(&f.bulkhead, 1, 0);
    assert_result(enter(&f, 0, FB_PRIORITY_WARM), FB_OK);
    assert_result(enter(&f, 1, FB_PRIORITY_USER), FB_EOVERLOAD);
    assert_null(fb_bulkhead_leave(&f.bulkhead));
    assert_result(enter(&f, 1, FB_PRIORITY_USER), FB_OK);
}

// ---- random programs

typedef struct oracle {
    int waiting[NODES];  // node numbers, the first come first
    size_t waiting_count;
    fb_priority priority[NODES];
    size_t running;
} oracle;

static void drop(oracle *o, size_t at) {
    o->waiting_count--;
    memmove(&o->waiting[at], &o->waiting[at + 1], (o->waiting_count - at) * sizeof o->waiting[0]);
}

static int next_of(oracle *o) {
    size_t best = 0;
    for (size_t i = 1; i < o->waiting_count; i++) {
        best = o->priority[o->waiting[i]] < o->priority[o->waiting[best]] ? i : best;
    }
    int node = o->waiting[best];
    drop(o, best);
    return node;
}

// The newest of the least important, or -1.
static int last_below(oracle *o, fb_priority priority) {
    size_t worst = o->waiting_count;
    for (size_t i = 0; i < o->waiting_count; i++) {
        fb_priority mine = o->priority[o->waiting[i]];
        if (mine > priority &&
            (worst == o->waiting_count || mine >= o->priority[o->waiting[worst]])) {
            worst = i;
        }
    }
    if (worst == o->waiting_count) {
        return -1;
    }
    int node = o->waiting[worst];
    drop(o, worst);
    return node;
}

static void enter_both(fixture *f, oracle *o, int node, fb_priority priority) {
    int result = enter(f, node, priority);
    o->priority[node] = priority;
    if (o->running < f->bulkhead.running_max) {
        o->running++;
        assert_result(result, FB_OK);
        assert_null(f->displaced);
        return;
    }
    int out = -1;
    if (o->waiting_count == f->bulkhead.queue_max) {
        out = last_below(o, priority);
        assert_result(result, out >= 0 ? FB_PENDING : FB_EOVERLOAD);
    }
    assert_ptr_equal(f->displaced, out >= 0 ? &f->nodes[out] : NULL);
    if (result != FB_EOVERLOAD) {
        assert_result(result, FB_PENDING);
        o->waiting[o->waiting_count++] = node;
    }
}

static void leave_both(fixture *f, oracle *o) {
    fb_bulkhead_node *next = fb_bulkhead_leave(&f->bulkhead);
    if (o->waiting_count > 0) {
        assert_ptr_equal(next, &f->nodes[next_of(o)]);
    } else {
        assert_null(next);
        o->running--;
    }
}

static bool is_waiting(const oracle *o, int node) {
    for (size_t i = 0; i < o->waiting_count; i++) {
        if (o->waiting[i] == node) {
            return true;
        }
    }
    return false;
}

static void test_bulkhead__random_programs_do_as_the_list(void **state) {
    fb_rng rng = test_rng();
    for (int round = 0; round < 300; round++) {
        fixture f;
        oracle o = {0};
        fb_bulkhead_init(&f.bulkhead, 1 + (uint32_t)fb_rng_below(&rng, 4),
                         (uint32_t)fb_rng_below(&rng, 20));
        for (int step = 0; step < 400; step++) {
            int node = (int)fb_rng_below(&rng, NODES);
            if (fb_rng_below(&rng, 5) < 3 && !is_waiting(&o, node)) {
                enter_both(&f, &o, node, (fb_priority)fb_rng_below(&rng, FB_PRIORITY_COUNT));
            } else if (o.running > 0) {
                leave_both(&f, &o);
            }
            assert_int_equal(f.bulkhead.running, o.running);
            assert_int_equal(f.bulkhead.queued, o.waiting_count);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bulkhead__runs_what_fits_and_queues_the_rest),
        cmocka_unit_test(test_bulkhead__users_go_before_warming),
        cmocka_unit_test(test_bulkhead__a_full_queue_gives_up_its_least_important),
        cmocka_unit_test(test_bulkhead__without_a_queue_nothing_waits),
        cmocka_unit_test(test_bulkhead__random_programs_do_as_the_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
