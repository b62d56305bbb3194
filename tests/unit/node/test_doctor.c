// What the doctor finds: on a node whose state the test sets, so that each finding is met in each of its states.

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "node/doctor.h"
#include "node_rig.h"
#include "support.h"

static rig shared;

// ---- findings

enum { KEPT_MAX = 40 };

typedef struct kept {
    size_t count;
    struct {
        char area[80], name[80], text[400], change[400];
        fb_finding_state state;
    } all[KEPT_MAX];
} kept;

static void keep(void *arg, const fb_finding *finding) {
    kept *to = arg;
    FB_ASSERT(to->count < KEPT_MAX);
    (void)snprintf(to->all[to->count].area, sizeof to->all[0].area, "%s", finding->area);
    (void)snprintf(to->all[to->count].name, sizeof to->all[0].name, "%s", finding->name);
    (void)snprintf(to->all[to->count].text, sizeof to->all[0].text, "%s", finding->text);
    (void)snprintf(to->all[to->count].change, sizeof to->all[0].change, "%s", finding->change);
    to->all[to->count].state = finding->state;
    to->count++;
}

typedef struct visit {
    const fb_queue_figures *queues;
    size_t queue_count;
    kept found;
    fb_buf out;
    int result;
} visit;

static void look_there(void *arg) {
    visit *self = arg;
    fb_doctor_look(&shared.node, self->queues, self->queue_count, keep, &self->found);
}

static void say_there(void *arg) {
    visit *self = arg;
    fb_reply reply;
    self->out.len = 0;
    fb_reply_init(&reply, FB_ENCODING_JSON, &self->out);
    self->result = fb_doctor_say(&shared.node, self->queues, self->queue_count, &reply);
    if (self->result == FB_OK && fb_reply_failed(&reply)) {
        self->result = FB_ENOMEM;
    }
}

static kept look(const fb_queue_figures *queues, size_t count) {
    visit self = {.queues = queues, .queue_count = count};
    rig_on_loop(&shared, look_there, &self);
    return self.found;
}

// Its index; fails where there is none.
static size_t find(const kept *found, const char *area, const char *name) {
    for (size_t i = 0; i < found->count; i++) {
        if (strcmp(found->all[i].area, area) == 0 && strcmp(found->all[i].name, name) == 0) {
            return i;
        }
    }
    fail_msg("nothing is said of %s: %s", area, name);
    return 0;
}

static void assert_found(const kept *found, const char *area, const char *name,
                         fb_finding_state state, const char *text) {
    size_t i = find(found, area, name);
    assert_string_equal(found->all[i].text, text);
    assert_string_equal(fb_finding_state_name(found->all[i].state), fb_finding_state_name(state));
    if (state == FB_FINDING_OK) {
        assert_string_equal(found->all[i].change, "");
    }
}

// ---- tests

static void test_doctor__what_stands_well_asks_for_nothing(void **state) {
    (void)state;
    kept found = look(NULL, 0);
    assert_found(&found, "redis", "connection", FB_FINDING_OK, "none is configured (redis.url)");
    assert_found(&found, "queues", "store", FB_FINDING_OK, "journal, takes jobs");
    assert_found(&found, "mail", "maildir", FB_FINDING_OK, "up; 0 sent, 0 refused");
    assert_found(&found, "doors", "resp", FB_FINDING_OK, "127.0.0.1:6380");
    assert_found(&found, "doors", "http", FB_FINDING_OK, "off");
    assert_found(&found, "doors", "connections", FB_FINDING_OK, "0 open of 5000, 0 refused");
    assert_found(&found, "loops", "turning", FB_FINDING_OK,
                 "2 loops, 6 workers; the slowest sign of life took 0 ms");
    for (size_t i = 0; i < found.count; i++) {
        assert_int_equal(found.all[i].state, FB_FINDING_OK);
        assert_string_equal(found.all[i].change, "");
    }
}

static void test_doctor__loops_that_lag_warn_and_then_fail(void **state) {
    (void)state;
    static const struct {
        int64_t ms;
        fb_finding_state state;
    } rows[] = {{199, FB_FINDING_OK}, {200, FB_FINDING_WARN}, {4999, FB_FINDING_WARN},
                {5000, FB_FINDING_FAIL}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[120];
        atomic_store(&shared.node.loop_lag_ns, rows[i].ms * 1000000);
        kept found = look(NULL, 0);
        (void)snprintf(text, sizeof text, "2 loops, 6 workers; the slowest sign of life took %lld ms",
                       (long long)rows[i].ms);
        assert_found(&found, "loops", "turning", rows[i].state, text);
    }
    atomic_store(&shared.node.loop_lag_ns, 0);
}

static void test_doctor__doors_that_are_nearly_full_warn(void **state) {
    (void)state;
    shared.node.connections = 4499;
    kept found = look(NULL, 0);
    assert_found(&found, "doors", "connections", FB_FINDING_OK, "4499 open of 5000, 0 refused");
    shared.node.connections = 4500;
    found = look(NULL, 0);
    assert_found(&found, "doors", "connections", FB_FINDING_WARN, "4500 open of 5000, 0 refused");
    shared.node.connections = 1;
    shared.node.connections_refused = 3;
    found = look(NULL, 0);
    assert_found(&found, "doors", "connections", FB_FINDING_WARN, "1 open of 5000, 3 refused");
    shared.node.connections = 0;
    shared.node.connections_refused = 0;
    shared.node.socket_path = "/run/forebay/door";
    found = look(NULL, 0);
    assert_found(&found, "doors", "socket", FB_FINDING_OK, "/run/forebay/door");
    shared.node.socket_path = NULL;
    shared.node.resp_tls_address = "0.0.0.0:6390";
    found = look(NULL, 0);
    assert_found(&found, "doors", "resp_tls", FB_FINDING_OK, "0.0.0.0:6390");
    shared.node.resp_tls_address = NULL;
}

static fb_queue_figures queue(const char *name, uint64_t ready, int64_t oldest_ms) {
    fb_queue_figures one = {.store = "journal", .worker = "", .reachable = true};
    (void)snprintf(one.name, sizeof one.name, "%s", name);
    one.look.counts[FB_JOB_READY] = ready;
    one.look.oldest_ms = oldest_ms;
    return one;
}

static void test_doctor__queues_that_wait_stand_still_or_are_away(void **state) {
    (void)state;
    fb_queue_figures queues[] = {queue("young", 5, 59999), queue("old", 7, 61000),
                                 queue("still", 0, 0), queue("gone", 0, 0)};
    queues[0].look.counts[FB_JOB_DEAD] = 2;
    queues[2].look.paused = true;
    queues[3].reachable = false;
    kept found = look(queues, 4);
    assert_found(&found, "queues", "young", FB_FINDING_OK, "5 ready, 0 scheduled, 0 leased, 2 dead");
    assert_found(&found, "queues", "old", FB_FINDING_WARN,
                 "7 ready, 0 scheduled, 0 leased, 0 dead, the oldest since 1m1s");
    assert_found(&found, "queues", "still", FB_FINDING_WARN,
                 "0 ready, 0 scheduled, 0 leased, 0 dead, paused");
    assert_string_equal(found.all[find(&found, "queues", "still")].change, "forebay jobs resume");
    assert_found(&found, "queues", "gone", FB_FINDING_FAIL, "its store does not answer");
}

static void test_doctor__sources_that_fail_are_named(void **state) {
    (void)state;
    rig_gate gate;
    fb_stats_reset(shared.engine);
    rig_hold(&shared, &gate, "9", FB_ESOURCE);
    rig_release(&gate);
    kept found = look(NULL, 0);
    size_t i = find(&found, "sources", "item");
    assert_int_equal(found.all[i].state, FB_FINDING_FAIL);
    assert_non_null(strstr(found.all[i].text, "1 loads in the last minute, 1 failed"));
    assert_string_equal(found.all[i].change, "look for load_failed in the log");
    rig_hold(&shared, &gate, "10", FB_OK);
    rig_release(&gate);
    found = look(NULL, 0);
    i = find(&found, "sources", "item");
    assert_int_equal(found.all[i].state, FB_FINDING_WARN);
    assert_non_null(strstr(found.all[i].text, "2 loads in the last minute, 1 failed"));
    fb_stats_reset(shared.engine);
}

// ---- as one map

static void complain_of_files(const fb_config *config, fb_finding_fn fn, void *arg) {
    (void)config;
    fb_finding_say(fn, arg,
                   &(fb_finding){.area = "machine", .name = "open \"files\"",
                                 .state = FB_FINDING_WARN, .change = "more of them"},
                   "%d at once", 3);
}

static json_t *say(const fb_queue_figures *queues, size_t count) {
    visit self = {.queues = queues, .queue_count = count};
    rig_on_loop(&shared, say_there, &self);
    assert_ok(self.result);
    json_error_t error;
    json_t *root = json_loadb(self.out.ptr, self.out.len, 0, &error);
    assert_non_null(root);
    fb_buf_release(&self.out);
    return root;
}

static void assert_worst(json_t *root, const char *worst) {
    assert_string_equal(json_string_value(json_object_get(root, "state")), worst);
    json_decref(root);
}

static void test_doctor__the_state_is_that_of_the_worst(void **state) {
    (void)state;
    fb_queue_figures queues[] = {queue("gone", 0, 0)};
    queues[0].reachable = false;
    assert_worst(say(NULL, 0), "ok");
    shared.node.examine = complain_of_files;
    assert_worst(say(NULL, 0), "warn");
    json_t *root = say(queues, 1);
    json_t *findings = json_object_get(root, "findings");
    json_t *last = json_array_get(findings, json_array_size(findings) - 1);
    assert_string_equal(json_string_value(json_object_get(last, "area")), "machine");
    assert_string_equal(json_string_value(json_object_get(last, "name")), "open \"files\"");
    assert_string_equal(json_string_value(json_object_get(last, "text")), "3 at once");
    assert_string_equal(json_string_value(json_object_get(last, "change")), "more of them");
    json_t *advice = json_array_get(json_object_get(root, "advice"), 0);
    static const char *const members[] = {"rule", "level", "about", "figure", "reason", "change", "text"};
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        assert_true(json_is_string(json_object_get(advice, members[i])));
    }
    assert_worst(root, "fail");
    shared.node.examine = NULL;
}

// On the loop, whose allocations alone are counted and fail.
static int say_in_want(void *arg) {
    say_there(arg);
    return ((visit *)arg)->result;
}

static void want_there(void *arg) {
    test_memory *memory = test_memory_get();
    say_there(arg);  // the buffer has its size, and what is made once is made
    memory->own = pthread_self();
    memory->own_alone = true;
    FB_ASSERT(test_memory_sweep(say_in_want, arg) > 0);
    memory->own_alone = false;
}

static void test_doctor__without_memory_it_says_so(void **state) {
    (void)state;
    visit self = {0};
    rig_on_loop(&shared, want_there, &self);
    assert_ok(self.result);
    fb_buf_release(&self.out);
}

static int open_rig(void **state) {
    (void)state;
    (void)test_memory_get();  // before there are threads
    rig_open(&shared);
    return 0;
}

static int close_rig(void **state) {
    (void)state;
    rig_close(&shared);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_doctor__what_stands_well_asks_for_nothing),
        cmocka_unit_test(test_doctor__loops_that_lag_warn_and_then_fail),
        cmocka_unit_test(test_doctor__doors_that_are_nearly_full_warn),
        cmocka_unit_test(test_doctor__queues_that_wait_stand_still_or_are_away),
        cmocka_unit_test(test_doctor__sources_that_fail_are_named),
        cmocka_unit_test(test_doctor__the_state_is_that_of_the_worst),
        cmocka_unit_test(test_doctor__without_memory_it_says_so),
    };
    return cmocka_run_group_tests(tests, open_rig, close_rig);
}
