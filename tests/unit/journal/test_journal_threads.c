// Many threads put jobs in while others take them: each that was accepted is finished once, and no
// answer is lost.

#include "journal_rig.h"

enum { PRODUCERS = 24, WORKERS = 8, EACH = 40, ALL = PRODUCERS * EACH };

typedef struct crowd {
    rig rig;
    atomic_uint_fast64_t token;
    atomic_int accepted, finished;
    atomic_int done[ALL];
} crowd;

typedef struct member {
    crowd *own;
    int index;
    pthread_t thread;
} member;

static void *produce(void *arg) {
    member *one = arg;
    told_items *items = malloc(sizeof *items);
    for (int i = 0; i < EACH; i++) {
        char text[16];
        told_answer answer;
        (void)snprintf(text, sizeof text, "%d", one->index * EACH + i);
        fb_store_job job = {.job = {.payload = fb_str_of(text), .attempts = 2, .lease_ms = 600000,
                                    .priority = (uint8_t)(i % 10)}};
        fb_store_request put = {.verb = FB_STORE_ENQUEUE, .queue = WORK, .jobs = &job,
                                .item_count = 1};
        must(rig_ask(&one->own->rig, &put, items, &answer) == FB_STORE_DONE);
        told_release(&answer);
        atomic_fetch_add(&one->own->accepted, 1);
    }
    free(items);
    return NULL;
}

static size_t take_some(crowd *own, told_items *items, fb_job_claim *claims, size_t count) {
    told_answer answer;
    fb_store_request take = {.verb = count > 0 ? FB_STORE_ACK : FB_STORE_RESERVE, .queue = WORK,
                             .claims = claims, .item_count = count, .count = 5,
                             .token = atomic_fetch_add(&own->token, 5) + 1};
    must(rig_ask(&own->rig, &take, items, &answer) == FB_STORE_DONE);
    for (size_t i = 0; i < count; i++) {
        must(items->results[i] == FB_OK);
    }
    atomic_fetch_add(&own->finished, (int)count);
    size_t got = answer.reply.job_count;
    for (size_t i = 0; i < got; i++) {
        const fb_job *job = &answer.reply.jobs[i];
        claims[i] = (fb_job_claim){job->number, job->token};
        char text[16] = "";
        memcpy(text, job->payload.ptr, job->payload.len);
        must(atomic_fetch_add(&own->done[atoi(text)], 1) == 0);
    }
    told_release(&answer);
    return got;
}

static void *consume(void *arg) {
    member *one = arg;
    told_items *items = malloc(sizeof *items);
    fb_job_claim claims[5];
    size_t held = 0;
    while (held > 0 || atomic_load(&one->own->finished) < ALL) {
        held = take_some(one->own, items, claims, held);
    }
    free(items);
    return NULL;
}

static void test_journal_threads__each_job_is_done_once(void **state) {
    crowd *own = calloc(1, sizeof *own);
    member members[PRODUCERS + WORKERS];
    rig_init(&own->rig);
    rig_open(&own->rig);
    for (int i = 0; i < PRODUCERS + WORKERS; i++) {
        members[i] = (member){.own = own, .index = i};
        assert_int_equal(pthread_create(&members[i].thread, NULL,
                                        i < PRODUCERS ? produce : consume, &members[i]),
                         0);
    }
    for (int i = 0; i < PRODUCERS + WORKERS; i++) {
        assert_int_equal(pthread_join(members[i].thread, NULL), 0);
    }
    assert_int_equal(own->accepted, ALL);
    assert_int_equal(own->finished, ALL);
    rig_close(&own->rig);
    rig_open(&own->rig);
    fb_queue_look look;
    rig_look(&own->rig, &look);
    for (int i = 0; i < FB_JOB_STATE_COUNT; i++) {
        assert_int_equal(look.counts[i], 0);
    }
    rig_release(&own->rig);
    free(own);
}

static void *ask_until_closed(void *arg) {
    member *one = arg;
    fb_queue_port *port = fb_journal_port(one->own->rig.journal);
    told_items *items = malloc(sizeof *items);
    for (;;) {
        told_answer answer;
        fb_store_job job = {.job = {.payload = FB_STR("p"), .attempts = 2, .lease_ms = 1000}};
        fb_store_request put = {.verb = FB_STORE_ENQUEUE, .queue = WORK, .jobs = &job,
                                .item_count = 1, .policy = &one->own->rig.policy};
        told_init(&answer);
        *items = (told_items){.count = 1, .told = &answer};
        int result = port->send(port, &put, told_items_reply, items);
        if (result == FB_OK) {
            told_wait(&answer);
            must(answer.reply.result == FB_STORE_DONE);
            atomic_fetch_add(&one->own->accepted, 1);
        }
        told_release(&answer);
        if (result != FB_OK) {
            must(result == FB_EOVERLOAD);
            break;
        }
    }
    free(items);
    return NULL;
}

// The memory for payloads ends while many ask: nobody waits for ever, and what is refused is not
// done.
static void test_journal_threads__overload_is_told(void **state) {
    enum { MEMBERS = 6 };
    crowd *own = calloc(1, sizeof *own);
    member members[MEMBERS];
    rig_init(&own->rig);
    own->rig.options.memory_bytes = 1;  // one at a time
    own->rig.options.power = false;
    rig_open(&own->rig);
    for (int i = 0; i < MEMBERS; i++) {
        members[i] = (member){.own = own, .index = i};
        assert_int_equal(pthread_create(&members[i].thread, NULL, ask_until_closed, &members[i]),
                         0);
    }
    // The last one is never refused: it is stopped by a request of ours that is in its way.
    bool left = true;
    while (left) {
        static told_items items;
        told_answer answer;
        fb_store_request look = {.verb = FB_STORE_LOOK, .queue = WORK};
        (void)rig_ask(&own->rig, &look, &items, &answer);
        told_release(&answer);
        left = false;
        for (int i = 0; i < MEMBERS; i++) {
            if (members[i].own != NULL && pthread_tryjoin_np(members[i].thread, NULL) == 0) {
                members[i].own = NULL;
            }
            left = left || members[i].own != NULL;
        }
    }
    rig_close(&own->rig);
    own->rig.options.memory_bytes = 0;
    rig_open(&own->rig);
    fb_queue_look look;
    rig_look(&own->rig, &look);
    assert_int_equal(look.counts[FB_JOB_READY], own->accepted);
    rig_release(&own->rig);
    free(own);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_journal_threads__each_job_is_done_once),
        cmocka_unit_test(test_journal_threads__overload_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
