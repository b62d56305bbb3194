// Each write, sync, open and read fails in turn, once, some times in a row, or from there on; the
// disk is full; the power goes at each sync. What was promised is there, what was refused is not,
// and where the disk is well again the journal is.

#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "journal_account.h"
#include "journal_disk.h"

typedef struct fixture {
    rig rig;
    test_disk disk;
} fixture;

static int setup(void **state) {
    fixture *own = malloc(sizeof *own);
    disk_init(&own->disk);
    rig_init(&own->rig);
    own->rig.options.vfs = "test-disk";
    own->rig.options.log_bytes = 1;  // the least that there can be
    *state = own;
    return 0;
}

static int teardown(void **state) {
    fixture *own = *state;
    rig_release(&own->rig);
    disk_release(&own->disk);
    free(own);
    return 0;
}

static void quiet(void *arg, fb_log_level level, const char *event, const char *fields) {
}

// May fail, as long as it says why.
static bool try_open(fixture *own) {
    fb_error error = {.text = ""};
    int result = fb_journal_new(&own->rig.options, &own->rig.journal, &error);
    if (result != FB_OK) {
        assert_result(result, FB_EIO);
        assert_non_null(strstr(error.text, own->rig.file));
        own->rig.journal = NULL;
    }
    return result == FB_OK;
}

// One run with faults; whether any came.
static bool run_with(fixture *own, long *fail_at, const long *count, long nth, long in_a_row,
                     int error) {
    account said = {.count = 0};
    disk_clear(&own->disk);
    own->disk.error = error;
    own->disk.fail_count = in_a_row;
    *fail_at = nth;
    bool opened = try_open(own);
    if (opened) {
        account_run(&said, &own->rig);
    }
    pthread_mutex_lock(&own->disk.lock);
    bool any = *count >= nth;
    *fail_at = 0;
    pthread_mutex_unlock(&own->disk.lock);
    if (!opened) {
        rig_open(&own->rig);
    }
    (void)account_put(&said, &own->rig);
    assert_int_equal(said.fates[said.count - 1], HERE);
    account_wait_healthy(&own->rig);
    account_check(&said, &own->rig);
    rig_close(&own->rig);
    rig_open(&own->rig);
    account_check(&said, &own->rig);
    rig_close(&own->rig);
    return any;
}

static void sweep(fixture *own, long *fail_at, const long *count, int error) {
    static const long rows[] = {1, 3, 1000000};
    for (size_t i = 0; i < 3; i++) {
        // The later ones are much alike: some of them will do.
        long nth = 1;
        while (run_with(own, fail_at, count, nth, rows[i], error)) {
            nth += 1 + nth / 8;
        }
        assert_true(nth > 10);
    }
}

static void test_journal_faults__write_fails(void **state) {
    fixture *own = *state;
    sweep(own, &own->disk.fail_write, &own->disk.writes, EIO);
}

static void test_journal_faults__write_finds_no_room(void **state) {
    fixture *own = *state;
    sweep(own, &own->disk.fail_write, &own->disk.writes, ENOSPC);
}

static void test_journal_faults__sync_fails(void **state) {
    fixture *own = *state;
    sweep(own, &own->disk.fail_sync, &own->disk.syncs, EIO);
}

static void test_journal_faults__sync_finds_no_room(void **state) {
    fixture *own = *state;
    sweep(own, &own->disk.fail_sync, &own->disk.syncs, ENOSPC);
}

static void test_journal_faults__open_fails(void **state) {
    fixture *own = *state;
    for (long nth = 1; run_with(own, &own->disk.fail_open, &own->disk.opens, nth, 1, EIO); nth++) {
    }
}

static void test_journal_faults__read_fails(void **state) {
    fixture *own = *state;
    for (long nth = 1; run_with(own, &own->disk.fail_read, &own->disk.reads, nth, 1, EIO); nth++) {
    }
}

// ---- health

static void test_journal_faults__broken_disk_shows(void **state) {
    fixture *own = *state;
    account said = {.count = 0};
    fb_queue_look look;
    char text[256];
    rig_open(&own->rig);
    (void)account_put(&said, &own->rig);
    pthread_mutex_lock(&own->disk.lock);
    own->disk.fail_count = 1000000;
    own->disk.fail_write = own->disk.writes + 1;
    pthread_mutex_unlock(&own->disk.lock);
    assert_int_not_equal(account_put(&said, &own->rig), FB_STORE_DONE);
    rig_look(&own->rig, &look);
    assert_false(fb_journal_healthy(own->rig.journal, text));
    assert_non_null(strstr(text, own->rig.file));
    // What was there is there, and can be looked at.
    assert_int_equal(look.counts[FB_JOB_READY], 1);
    pthread_mutex_lock(&own->disk.lock);
    own->disk.fail_write = 0;
    pthread_mutex_unlock(&own->disk.lock);
    account_wait_healthy(&own->rig);
    account_check(&said, &own->rig);
    rig_close(&own->rig);
}

// ---- a full disk

static void set_room(fixture *own, int64_t more) {
    pthread_mutex_lock(&own->disk.lock);
    own->disk.room = more < 0 ? -1 : disk_used(&own->disk) + more;
    pthread_mutex_unlock(&own->disk.lock);
}

static size_t fill(rig *own, size_t most) {
    static fb_store_job jobs[100];
    static told_items items;
    size_t taken = 0;
    for (size_t i = 0; i < 100; i++) {
        jobs[i] = (fb_store_job){.job = {.payload = FB_STR("a payload of no great size at all"),
                                         .priority = 5, .attempts = 100, .lease_ms = 60000}};
    }
    fb_store_request put = {.verb = FB_STORE_ENQUEUE, .queue = WORK, .jobs = jobs,
                            .item_count = 100};
    while (taken < most) {
        told_answer answer;
        fb_store_result result = rig_ask(own, &put, &items, &answer);
        told_release(&answer);
        if (result != FB_STORE_DONE) {
            assert_int_equal(result, FB_STORE_FULL);
            return taken;
        }
        taken += 100;
    }
    return taken;
}

// Claims, failures with long texts, releases: all of it done, whatever the room.
static void churn(rig *own, int rounds) {
    char text[501];
    memset(text, 'e', 500);
    text[500] = '\0';
    for (int round = 0; round < rounds; round++) {
        told_answer answer;
        assert_int_equal(rig_reserve(own, 40, &answer), FB_STORE_DONE);
        assert_int_equal(answer.reply.job_count, 40);
        for (size_t i = 0; i < 40; i++) {
            fb_store_result result;
            fb_job_claim claim = {answer.reply.jobs[i].number, answer.reply.jobs[i].token};
            fb_store_request request = {.verb = i % 2 == 0 ? FB_STORE_FAIL : FB_STORE_RELEASE,
                                        .text = fb_str_of(text)};
            if (i % 8 == 1) {
                request.verb = FB_STORE_ACK;
            }
            assert_result(rig_do(own, request, claim, &result), FB_OK);
        }
        told_release(&answer);
    }
}

static size_t drain(rig *own) {
    size_t done = 0;
    for (;;) {
        told_answer answer;
        assert_int_equal(rig_reserve(own, 100, &answer), FB_STORE_DONE);
        size_t count = answer.reply.job_count;
        for (size_t i = 0; i < count; i++) {
            assert_result(rig_one(own, FB_STORE_ACK, answer.reply.jobs[i].number,
                                  answer.reply.jobs[i].token),
                          FB_OK);
        }
        told_release(&answer);
        done += count;
        if (count == 0) {
            return done;
        }
    }
}

static void test_journal_faults__full_disk_still_finishes_work(void **state) {
    fixture *own = *state;
    fb_queue_look look;
    char text[256];
    own->rig.options.power = false;
    own->rig.options.log_bytes = 0;
    rig_open(&own->rig);
    size_t taken = fill(&own->rig, 5000);
    set_room(own, 100000);
    taken += fill(&own->rig, 1000000);
    rig_look(&own->rig, &look);
    assert_false(fb_journal_healthy(own->rig.journal, text));
    assert_int_equal(look.counts[FB_JOB_READY], taken);
    churn(&own->rig, 20);
    // The same after it was opened anew: on a full disk, too.
    rig_close(&own->rig);
    set_room(own, 0);
    rig_open(&own->rig);
    churn(&own->rig, 20);
    fb_store_request purge = {.verb = FB_STORE_PURGE, .queue = WORK, .state = FB_JOB_READY,
                              .count = 1000};
    static told_items items;
    told_answer answer;
    assert_int_equal(rig_ask(&own->rig, &purge, &items, &answer), FB_STORE_DONE);
    assert_int_equal(answer.reply.value, 1000);
    told_release(&answer);
    assert_int_equal(drain(&own->rig), taken - 2 * 20 * 5 - 1000);
    // There is room in the file again, though none on the disk.
    assert_int_equal(fill(&own->rig, 1000), 1000);
    rig_close(&own->rig);
}

static void test_journal_faults__room_that_is_back_is_noticed(void **state) {
    fixture *own = *state;
    own->rig.options.power = false;
    rig_open(&own->rig);
    (void)fill(&own->rig, 100);
    set_room(own, 0);
    (void)fill(&own->rig, 1000000);
    set_room(own, -1);
    account_wait_healthy(&own->rig);
    assert_int_equal(fill(&own->rig, 3000), 3000);
    rig_close(&own->rig);
}

// A real file system without room, where this process may mount one. In a process of its own, for
// the mount goes with it. Exits 0, or 77 where there can be none.
static void work_in_small_room(rig *own) {
    char text[256];
    fb_queue_look look;
    int failed = unshare(CLONE_NEWNS);
    failed = failed != 0 ? failed : mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
    failed = failed != 0 ? failed : mount("tmpfs", own->folder, "tmpfs", 0, "size=16m");
    if (failed != 0) {
        _exit(77);
    }
    own->options.vfs = NULL;
    own->options.log_bytes = 0;
    rig_open(own);
    size_t taken = fill(own, 1000000);
    must(taken > 1000);
    rig_look(own, &look);  // when that is answered, what was before it is known
    must(!fb_journal_healthy(own->journal, text));
    churn(own, 10);
    rig_close(own);
    rig_open(own);
    churn(own, 10);
    must(drain(own) == taken - 2 * 10 * 5);
    must(fill(own, 1000) == 1000);
    rig_close(own);
    _exit(0);
}

static void test_journal_faults__full_file_system_still_finishes_work(void **state) {
    fixture *own = *state;
    int status = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        work_in_small_room(&own->rig);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) {
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

// ---- power

// The power goes at one sync of the run, or of closing; whether it came to that.
static bool cut_at(fixture *own, long nth, bool power) {
    account said = {.count = 0};
    disk_clear(&own->disk);
    own->rig.options.power = power;
    own->disk.cut_sync = nth;
    bool opened = try_open(own);
    if (opened) {
        account_run(&said, &own->rig);
    }
    rig_close(&own->rig);
    bool any = own->disk.off;
    disk_reboot(&own->disk);
    rig_open(&own->rig);
    if (power) {
        account_check(&said, &own->rig);
    }
    // It goes on, and nothing of the torn log comes back.
    (void)account_put(&said, &own->rig);
    assert_int_equal(said.fates[said.count - 1], HERE);
    rig_close(&own->rig);
    rig_open(&own->rig);
    if (power) {
        account_check(&said, &own->rig);
    }
    rig_close(&own->rig);
    return any;
}

static void test_journal_faults__power_goes(void **state) {
    fixture *own = *state;
    for (int round = 0; round < 2; round++) {
        long nth = 1;
        while (cut_at(own, nth, true)) {
            nth++;
        }
        assert_true(nth > 30);
    }
}

// What is kept through a crash of the process alone may lose its end, but nothing else.
static void test_journal_faults__power_goes_without_syncs(void **state) {
    fixture *own = *state;
    long nth = 1;
    while (cut_at(own, nth, false)) {
        nth++;
    }
}

int main(void) {
    static const fb_hooks hooks = {.log = quiet};
    fb_hooks_set(&hooks);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_journal_faults__write_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_journal_faults__write_finds_no_room, setup, teardown),
        cmocka_unit_test_setup_teardown(test_journal_faults__sync_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_journal_faults__sync_finds_no_room, setup, teardown),
        cmocka_unit_test_setup_teardown(test_journal_faults__open_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_journal_faults__read_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_journal_faults__broken_disk_shows, setup, teardown),
        cmocka_unit_test_setup_teardown(test_journal_faults__full_disk_still_finishes_work, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            test_journal_faults__full_file_system_still_finishes_work, setup, teardown),
        cmocka_unit_test_setup_teardown(test_journal_faults__room_that_is_back_is_noticed, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_journal_faults__power_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_journal_faults__power_goes_without_syncs, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
