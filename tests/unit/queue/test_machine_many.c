// Half a million jobs: order, pages, memory, and what a shelf does when it grows and shrinks.

#include "queue_rig.h"

#include "queue/shelf.h"

enum { JOBS = 500000, BATCH = 500, MARKS = 20000, ITEMS = 3000 };

static void enqueue_many(queue_rig *rig, const uint8_t *priorities) {
    fb_store_job jobs[BATCH];

    for (size_t i = 0; i < JOBS; i += BATCH) {
        for (size_t k = 0; k < BATCH; k++) {
            jobs[k] = rig_job(priorities[(i + k) % 10]);
        }
        rig->request.jobs = jobs;
        rig->request.item_count = BATCH;
        assert_int_equal(rig_step(rig, FB_STORE_ENQUEUE), FB_STORE_DONE);
        rig->now_ms++;
        fb_machine_keep(rig->machine);
    }
    assert_int_equal(fb_machine_jobs(rig->machine), JOBS);
}

// With a backlog of all priorities each level is in its order, and after eight of the most urgent
// come one of each of the nine others.
static void test_machine__half_a_million_jobs_keep_their_order(void **state) {
    static const uint8_t priorities[10] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    queue_rig rig = rig_new();
    uint64_t last[FB_JOB_PRIORITIES] = {0};
    fb_job_claim claims[BATCH];
    size_t done = 0, urgent = 0;

    enqueue_many(&rig, priorities);
    // With all that is needed to find and order them.
    assert_true(fb_machine_bytes(rig.machine) < 260 * (uint64_t)JOBS);
    while (rig_reserve(&rig, BATCH) > 0) {
        size_t count = rig.reply.job_count;
        for (size_t i = 0; i < count; i++) {
            const fb_job *job = &rig.reply.jobs[i];
            assert_true(job->number > last[job->priority]);
            last[job->priority] = job->number;
            urgent += done + i < 9000 && job->priority == 0;
            claims[i] = (fb_job_claim){job->number, job->token};
        }
        rig.request.claims = claims;
        rig.request.item_count = count;
        (void)rig_step(&rig, FB_STORE_ACK);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(rig.reply.results[i], FB_OK);
        }
        fb_machine_keep(rig.machine);
        done += count;
    }
    assert_int_equal(done, JOBS);
    assert_in_range(urgent, 9000 * 8 / 17 - 8, 9000 * 8 / 17 + 8);
    // And all that memory is given back.
    assert_int_equal(fb_machine_jobs(rig.machine), 0);
    assert_true(fb_machine_bytes(rig.machine) < 1 << 20);
    rig_free(&rig);
}

static void test_machine__a_job_is_found_among_half_a_million(void **state) {
    static const uint8_t priorities[10] = {5, 5, 5, 5, 5, 5, 5, 5, 5, 5};
    queue_rig rig = rig_new();
    size_t seen = 0, found = 0;
    uint64_t after = 0;

    rig.policy.dead_max = JOBS;
    enqueue_many(&rig, priorities);
    // Every thousandth one dies.
    for (uint64_t i = 1000; i <= JOBS; i += 1000) {
        fb_store_job job = {.job = rig_get(&rig, 64 * i)};
        job.job.state = FB_JOB_DEAD;
        job.job.end = FB_JOB_END_PERMANENT;
        job.job.died_ms = rig.now_ms;
        rig.request = (fb_store_request){.jobs = &job, .item_count = 1};
        assert_int_equal(rig_step(&rig, FB_STORE_IMPORT), FB_STORE_DONE);
        fb_machine_keep(rig.machine);
    }
    do {
        rig.request = (fb_store_request){.state = -1, .after = after, .count = 1000};
        (void)rig_step(&rig, FB_STORE_LIST);
        for (size_t i = 0; i < rig.reply.job_count; i++) {
            assert_int_equal(rig.reply.jobs[i].number, 64 * ++seen);
        }
        after = 64 * seen;
    } while (rig.reply.job_count > 0);
    assert_int_equal(seen, JOBS);
    after = 0;
    do {
        rig.request = (fb_store_request){.state = FB_JOB_DEAD, .after = after, .count = 30};
        (void)rig_step(&rig, FB_STORE_LIST);
        for (size_t i = 0; i < rig.reply.job_count; i++) {
            assert_int_equal(rig.reply.jobs[i].number, 64000 * ++found);
        }
        after = 64000 * found;
    } while (rig.reply.job_count > 0);
    assert_int_equal(found, JOBS / 1000);
    // Undone as a whole: a hundred thousand that were thrown out.
    rig_keep(&rig);
    rig.request = (fb_store_request){.state = FB_JOB_READY, .count = 100000};
    (void)rig_step(&rig, FB_STORE_PURGE);
    assert_int_equal(fb_machine_jobs(rig.machine), JOBS - 100000);
    fb_machine_undo(rig.machine);
    assert_int_equal(fb_machine_jobs(rig.machine), JOBS);
    assert_int_equal(rig_claim(&rig).number, 64);
    rig_free(&rig);
}

static void test_machine__marks_by_the_thousand(void **state) {
    queue_rig rig = rig_new();
    char name[32];
    size_t seen = 0;

    for (size_t i = 0; i < MARKS; i++) {
        (void)snprintf(name, sizeof(name), "suppressed:%05zu", i * 7919 % MARKS);
        rig.request = (fb_store_request){.mark = fb_str_of(name), .mark_value = (int64_t)i};
        (void)rig_step(&rig, FB_STORE_MARK_SET);
        fb_machine_keep(rig.machine);
    }
    name[0] = '\0';
    for (;;) {
        rig.request = (fb_store_request){.mark = FB_STR("suppressed:"),
                                         .after_mark = fb_str_of(name), .count = 999};
        (void)rig_step(&rig, FB_STORE_MARK_LIST);
        if (rig.reply.mark_count == 0) {
            break;
        }
        for (size_t i = 0; i < rig.reply.mark_count; i++) {
            (void)snprintf(name, sizeof(name), "suppressed:%05zu", seen++);
            assert_str(rig.reply.marks[i].name, name);
        }
    }
    assert_int_equal(seen, MARKS);
    rig_free(&rig);
}

// ---- the shelf by itself, against an array

typedef struct book {
    uint64_t number;
    int shelf_class;
} book;

static int class_of(const void *item) {
    return ((const book *)item)->shelf_class;
}

static void test_shelf__is_as_an_array_would_be(void **state) {
    static const fb_shelf_kind kind = {.class_of = class_of};
    static book books[ITEMS];
    static bool there[ITEMS];
    fb_shelf shelf = {.kind = &kind};
    fb_rng rng = test_rng();

    memset(there, 0, sizeof(there));
    for (int round = 0; round < 60000; round++) {
        // It fills up, is emptied, and so on.
        uint64_t i = fb_rng_below(&rng, ITEMS);
        bool fills = round / 10000 % 2 == 0;
        fb_shelf_key key = fb_shelf_numbered(i);
        if (!there[i] && (fills || i % 5 == 0)) {
            books[i] = (book){i, FB_SHELF_NONE};
            assert_ok(fb_shelf_add(&shelf, key, &books[i]));
            books[i].shelf_class = (int)fb_rng_below(&rng, FB_SHELF_CLASSES);
            fb_shelf_enter(&shelf, key, books[i].shelf_class);
            there[i] = true;
        } else if (there[i] && !fills) {
            fb_shelf_leave(&shelf, key, books[i].shelf_class);
            books[i].shelf_class = FB_SHELF_NONE;
            fb_shelf_remove(&shelf, key);
            there[i] = false;
        }
        uint64_t after = fb_rng_below(&rng, ITEMS);
        int wanted = (int)fb_rng_below(&rng, FB_SHELF_CLASSES + 1) - 1;
        uint64_t next = after + 1;
        while (next < ITEMS &&
               !(there[next] && (wanted < 0 || books[next].shelf_class == wanted))) {
            next++;
        }
        assert_ptr_equal(fb_shelf_next(&shelf, fb_shelf_numbered(after), wanted),
                         next < ITEMS ? &books[next] : NULL);
        assert_ptr_equal(fb_shelf_get(&shelf, fb_shelf_numbered(after)),
                         there[after] ? &books[after] : NULL);
        if (round % 500 == 0) {
            fb_shelf_check(&shelf);
        }
    }
    fb_shelf_release(&shelf);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_machine__half_a_million_jobs_keep_their_order),
        cmocka_unit_test(test_machine__a_job_is_found_among_half_a_million),
        cmocka_unit_test(test_machine__marks_by_the_thousand),
        cmocka_unit_test(test_shelf__is_as_an_array_would_be),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
