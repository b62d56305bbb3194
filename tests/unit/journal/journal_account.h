// journal_account.h -- a little of everything, with an account of what was promised: what has to be
// in the file afterwards, what must not be, and what may be.

#ifndef FB_TESTS_JOURNAL_ACCOUNT_H
#define FB_TESTS_JOURNAL_ACCOUNT_H

#include "journal_rig.h"

enum { ACCOUNT_MAX = 64, ACCOUNT_BIG = 20000 };

typedef enum fate { NEVER, HERE, GONE, MAYBE } fate;

typedef struct account {
    fate fates[ACCOUNT_MAX];     // by payload: "0 …", "1 …"
    uint64_t numbers[ACCOUNT_MAX];
    int count;
    int failed;                  // requests that were not done
    bool full;                   // one of them for want of room
} account;

static inline fb_str account_payload(int index, char *text) {
    int len = snprintf(text, ACCOUNT_BIG, "%d ", index);
    size_t size = index % 4 == 3 ? ACCOUNT_BIG : 100;
    memset(text + len, 'a' + index % 26, size - (size_t)len);
    return fb_str_make(text, size);
}

static inline fate account_fate(account *own, fb_store_result result, fate before, fate after) {
    own->failed += result != FB_STORE_DONE ? 1 : 0;
    own->full = own->full || result == FB_STORE_FULL;
    if (result == FB_STORE_DONE) {
        return after;
    }
    assert_true(result == FB_STORE_FULL || result == FB_STORE_FAILED ||
                result == FB_STORE_UNKNOWN);
    return result == FB_STORE_UNKNOWN ? MAYBE : before;
}

static inline fb_store_result account_put(account *own, rig *at) {
    static char text[ACCOUNT_BIG];
    fb_store_result result;
    int index = own->count++;
    assert_true(index < ACCOUNT_MAX);
    fb_store_job job = {.job = {.kind = FB_STR("k"), .payload = account_payload(index, text),
                                .attempts = 5, .priority = 3}};
    own->numbers[index] = rig_put_as(at, job, &result);
    own->fates[index] = account_fate(own, result, NEVER, HERE);
    return result;
}

static inline int account_index(const fb_job *job) {
    char text[16] = "";
    memcpy(text, job->payload.ptr, job->payload.len < 15 ? job->payload.len : 15);
    int index = atoi(text);
    assert_in_range(index, 0, ACCOUNT_MAX - 1);
    return index;
}

static inline void account_drop(account *own, rig *at, fb_store_verb verb, int index,
                                fb_job_claim claim) {
    fb_store_result result;
    fb_store_request request = {.verb = verb};
    int got = rig_do(at, request, claim, &result);
    fate after = got == FB_OK ? GONE : own->fates[index];
    assert_true(result != FB_STORE_DONE || got == FB_OK || own->fates[index] == MAYBE);
    own->fates[index] = account_fate(own, result, own->fates[index], after);
}

static inline void account_fail(account *own, rig *at, fb_store_verb verb, fb_job_claim claim) {
    fb_store_result result;
    fb_store_request request = {.verb = verb, .text = FB_STR("it did not work this time")};
    (void)rig_do(at, request, claim, &result);
    (void)account_fate(own, result, HERE, HERE);
}

static inline void account_work(account *own, rig *at) {
    static const fb_store_verb verbs[] = {FB_STORE_ACK, FB_STORE_FAIL, FB_STORE_EXTEND,
                                          FB_STORE_RELEASE};
    told_answer answer;
    fb_store_result result = rig_reserve(at, 4, &answer);
    (void)account_fate(own, result, HERE, HERE);
    for (size_t i = 0; i < answer.reply.job_count; i++) {
        const fb_job *job = &answer.reply.jobs[i];
        fb_job_claim claim = {job->number, job->token};
        if (verbs[i] == FB_STORE_ACK) {
            account_drop(own, at, FB_STORE_ACK, account_index(job), claim);
        } else {
            account_fail(own, at, verbs[i], claim);
        }
    }
    told_release(&answer);
}

static inline void account_run(account *own, rig *at) {
    for (int round = 0; round < 3; round++) {
        int first = own->count;
        for (int i = 0; i < 5; i++) {
            (void)account_put(own, at);
        }
        account_work(own, at);
        if (own->fates[first + 4] == HERE) {
            account_drop(own, at, FB_STORE_CANCEL, first + 4,
                         (fb_job_claim){own->numbers[first + 4], 0});
        }
    }
}

// What is there is what was promised.
static inline void account_check(const account *own, rig *at) {
    static char text[ACCOUNT_BIG];
    told_answer answer;
    static told_items items;
    bool seen[ACCOUNT_MAX] = {false};
    fb_store_request list = {.verb = FB_STORE_LIST, .queue = WORK, .state = -1, .count = 1000,
                             .flag = true};
    assert_int_equal(rig_ask(at, &list, &items, &answer), FB_STORE_DONE);
    for (size_t i = 0; i < answer.reply.job_count; i++) {
        const fb_job *job = &answer.reply.jobs[i];
        int index = account_index(job);
        assert_true(fb_str_equal(job->payload, account_payload(index, text)));
        assert_false(seen[index]);
        seen[index] = true;
        if (own->fates[index] == NEVER || own->fates[index] == GONE) {
            fail_msg("job %d is there: %s", index,
                     own->fates[index] == GONE ? "it was done" : "it was refused");
        }
        assert_true(job->attempt <= job->attempts);
    }
    for (int index = 0; index < own->count; index++) {
        if (own->fates[index] == HERE && !seen[index]) {
            fail_msg("job %d is lost", index);
        }
    }
    told_release(&answer);
}

// Until it says that it is well again.
static inline void account_wait_healthy(rig *at) {
    char text[256];
    fb_queue_look look;
    do {
        rig_look(at, &look);
    } while (!fb_journal_healthy(at->journal, text));
}

#endif
