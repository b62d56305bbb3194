// Rules of the journal: each is taken out, and what was promised does not hold any more.

#include "../journal_disk.h"
#include "../journal_rig.h"

#include "base/rule.h"
#include "journal/clock.h"
#include "journal/record.h"

typedef struct fixture {
    rig rig;
    test_disk disk;
} fixture;

static void quiet(void *arg, fb_log_level level, const char *event, const char *fields) {
}

static fb_store_result put(fixture *own, uint64_t *number) {
    fb_store_result result;
    fb_store_job job = {.job = {.payload = FB_STR("p"), .attempts = 1000, .priority = 5}};
    *number = rig_put_as(&own->rig, job, &result);
    return result;
}

static uint64_t count_jobs(fixture *own) {
    fb_queue_look look;
    rig_look(&own->rig, &look);
    return look.counts[FB_JOB_READY] + look.counts[FB_JOB_LEASED];
}

static void fail_writes(fixture *own, long count) {
    pthread_mutex_lock(&own->disk.lock);
    own->disk.fail_count = count;
    own->disk.fail_write = count > 0 ? own->disk.writes + 1 : 0;
    pthread_mutex_unlock(&own->disk.lock);
}

// Nothing that is not synced is there afterwards.
static void cut_power(fixture *own) {
    pthread_mutex_lock(&own->disk.lock);
    own->disk.off = true;
    pthread_mutex_unlock(&own->disk.lock);
    rig_close(&own->rig);
    for (size_t i = 0; i < DISK_FILES; i++) {
        ops_drop(&own->disk.files[i]);
    }
    disk_reboot(&own->disk);
    rig_open(&own->rig);
}

// ---- what is promised

static bool refused_is_not_there(fixture *own) {
    uint64_t number;
    (void)put(own, &number);
    fail_writes(own, 1000000);
    bool well = put(own, &number) != FB_STORE_DONE;
    fail_writes(own, 0);
    return put(own, &number) == FB_STORE_DONE && count_jobs(own) == 2 && well;
}

static bool accepted_outlives_power(fixture *own) {
    uint64_t number;
    for (int i = 0; i < 3; i++) {
        (void)put(own, &number);
    }
    cut_power(own);
    return count_jobs(own) == 3;
}

static bool numbers_are_not_given_twice(fixture *own) {
    uint64_t first;
    uint64_t second;
    (void)put(own, &first);
    (void)rig_one(&own->rig, FB_STORE_CANCEL, first, 0);
    cut_power(own);
    (void)put(own, &second);
    return second > first;
}

// A claim, and what becomes of it, again and again.
static bool works(fixture *own, int rounds) {
    bool well = true;
    for (int i = 0; i < rounds && well; i++) {
        told_answer answer;
        well = rig_reserve(&own->rig, 10, &answer) == FB_STORE_DONE;
        for (size_t k = 0; k < answer.reply.job_count && well; k++) {
            fb_store_result result;
            fb_job_claim claim = {answer.reply.jobs[k].number, answer.reply.jobs[k].token};
            fb_store_request request = {.verb = FB_STORE_FAIL, .text = FB_STR("it broke")};
            well = rig_do(&own->rig, request, claim, &result) == FB_OK;
        }
        told_release(&answer);
    }
    return well;
}

static bool full_disk_works(fixture *own) {
    uint64_t number;
    fb_store_result result = FB_STORE_DONE;
    pthread_mutex_lock(&own->disk.lock);
    own->disk.room = disk_used(&own->disk) + 10000;
    pthread_mutex_unlock(&own->disk.lock);
    for (int i = 0; i < 50000 && result == FB_STORE_DONE; i++) {
        result = put(own, &number);
    }
    return result == FB_STORE_FULL && works(own, 60);
}

static bool lease_moves_with_the_clock(fixture *own) {
    fb_job job = {.state = FB_JOB_LEASED, .until_ms = 5000, .claimed_ms = 1000};
    return fb_journal_clock_move(&job, -3000) && job.until_ms == 2000;
}

static bool damage_is_noticed(fixture *own) {
    uint8_t bytes[FB_JOURNAL_RECORD_SIZE];
    fb_job job = {.state = FB_JOB_READY};
    int64_t order;
    fb_journal_record_write(&job, 1, 64, bytes);
    bytes[20] ^= 1;
    return fb_journal_record_read(fb_str_make((const char *)bytes, sizeof bytes), 64, &job,
                                  &order) != FB_OK;
}

static const struct {
    const char *rule;
    bool (*holds)(fixture *own);
} promises[] = {
    {"journal_undo", refused_is_not_there},
    {"journal_sync", accepted_outlives_power},
    {"journal_numbers_ahead", numbers_are_not_given_twice},
    {"journal_lean", full_disk_works},
    {"journal_room_ahead", full_disk_works},
    {"journal_clock_leases", lease_moves_with_the_clock},
    {"journal_sum", damage_is_noticed},
};

static bool holds(size_t which) {
    fixture *own = malloc(sizeof *own);
    must(own != NULL);
    disk_init(&own->disk);
    rig_init(&own->rig);
    own->rig.options.vfs = "test-disk";
    own->rig.options.log_bytes = 1;
    rig_open(&own->rig);
    bool well = promises[which].holds(own);
    rig_release(&own->rig);
    disk_release(&own->disk);
    free(own);
    return well;
}

static void test_journal_rules__are_all_needed(void **state) {
    for (size_t i = 0; i < sizeof promises / sizeof promises[0]; i++) {
        fb_rule_without(NULL);
        if (!holds(i)) {
            fail_msg("with %s it does not hold", promises[i].rule);
        }
        fb_rule_without(promises[i].rule);
        if (holds(i)) {
            fail_msg("without %s all is well", promises[i].rule);
        }
    }
    fb_rule_without(NULL);
}

int main(void) {
    static const fb_hooks hooks = {.log = quiet};
    fb_hooks_set(&hooks);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_journal_rules__are_all_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
