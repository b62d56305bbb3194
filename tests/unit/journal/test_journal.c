// What the port promises, through the port, and what is there when the file is opened again.

#include "journal_rig.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/wait.h>

static int setup(void **state) {
    rig *own = malloc(sizeof *own);
    rig_init(own);
    rig_open(own);
    *state = own;
    return 0;
}

static int teardown(void **state) {
    rig_release(*state);
    free(*state);
    return 0;
}

static void reopen(rig *own) {
    rig_close(own);
    rig_open(own);
}

static fb_job claim_one(rig *own, told_answer *answer) {
    assert_int_equal(rig_reserve(own, 1, answer), FB_STORE_DONE);
    assert_int_equal(answer->reply.job_count, 1);
    return answer->reply.jobs[0];
}

static void expect_counts(rig *own, uint64_t scheduled, uint64_t ready, uint64_t leased,
                          uint64_t dead) {
    fb_queue_look look;
    rig_look(own, &look);
    assert_int_equal(look.counts[FB_JOB_SCHEDULED], scheduled);
    assert_int_equal(look.counts[FB_JOB_READY], ready);
    assert_int_equal(look.counts[FB_JOB_LEASED], leased);
    assert_int_equal(look.counts[FB_JOB_DEAD], dead);
}

static void test_journal__job_is_done_and_gone(void **state) {
    rig *own = *state;
    told_answer answer;
    uint64_t number = rig_put(own, "hello");
    fb_job job = claim_one(own, &answer);
    assert_int_equal(job.number, number);
    assert_int_equal(job.token, own->token);
    assert_int_equal(job.attempt, 1);
    assert_str(job.payload, "hello");
    assert_str(job.kind, "k");
    assert_result(rig_one(own, FB_STORE_ACK, job.number, job.token + 1), FB_LOST);
    assert_result(rig_one(own, FB_STORE_ACK, job.number, job.token), FB_OK);
    assert_result(rig_one(own, FB_STORE_ACK, job.number, job.token), FB_LOST);
    told_release(&answer);
    expect_counts(own, 0, 0, 0, 0);
}

// Payloads of all sizes come back, from memory, from the row, from beside the row.
static void test_journal__payloads_come_back(void **state) {
    static const size_t sizes[] = {0, 1, 999, 1000, 1001, 4096, 100000, 3000000};
    rig *own = *state;
    char *bytes = malloc(3000000);
    uint64_t numbers[8];
    for (size_t i = 0; i < 3000000; i++) {
        bytes[i] = (char)(i * 7 + i / 251);
    }
    for (size_t i = 0; i < 8; i++) {
        fb_store_result result;
        fb_store_job job = {.job = {.payload = {bytes + i, sizes[i] - (sizes[i] > i ? i : 0)}}};
        numbers[i] = rig_put_as(own, job, &result);
        assert_true(numbers[i] > 0);
    }
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < 8; i++) {
            told_answer answer;
            fb_job job;
            assert_true(rig_get(own, numbers[i], &answer, &job));
            fb_str expected = {bytes + i, sizes[i] - (sizes[i] > i ? i : 0)};
            assert_true(fb_str_equal(job.payload, expected));
            told_release(&answer);
        }
        reopen(own);
    }
    for (size_t i = 0; i < 8; i++) {
        assert_result(rig_one(own, FB_STORE_CANCEL, numbers[i], 0), FB_OK);
        assert_result(rig_one(own, FB_STORE_CANCEL, numbers[i], 0), FB_MISS);
    }
    free(bytes);
    reopen(own);
    expect_counts(own, 0, 0, 0, 0);
}

static void check_texts(rig *own, uint64_t number) {
    told_answer answer;
    fb_job job;
    assert_true(rig_get(own, number, &answer, &job));
    assert_int_equal(job.state, FB_JOB_LEASED);
    assert_int_equal(job.attempt, 2);
    assert_int_equal(job.attempts, 7);
    assert_int_equal(job.priority, 2);
    assert_int_equal(job.lease_ms, 77000);
    assert_str(job.kind, "monthly");
    assert_str(job.unique, "only one");
    assert_str(job.error, "no luck");
    assert_str(job.progress, "half");
    assert_str(job.payload, "p");
    told_release(&answer);
}

static void test_journal__everything_of_a_job_is_kept(void **state) {
    rig *own = *state;
    told_answer answer;
    fb_store_result result;
    fb_store_job spec = {.job = {.kind = FB_STR("monthly"), .payload = FB_STR("p"),
                                 .unique = FB_STR("only one"), .priority = 2, .attempts = 7,
                                 .lease_ms = 77000}};
    uint64_t number = rig_put_as(own, spec, &result);
    assert_int_equal(rig_put_as(own, spec, &result), 0);
    fb_job job = claim_one(own, &answer);
    fb_job_claim claim = {number, job.token};
    fb_store_request fail = {.verb = FB_STORE_FAIL, .delay_ms = 0, .text = FB_STR("no luck")};
    assert_result(rig_do(own, fail, claim, &result), FB_OK);
    told_release(&answer);
    job = claim_one(own, &answer);
    claim.token = job.token;
    fb_store_request extend = {.verb = FB_STORE_EXTEND, .text = FB_STR("half")};
    assert_result(rig_do(own, extend, claim, &result), FB_OK);
    told_release(&answer);
    check_texts(own, number);
    reopen(own);
    check_texts(own, number);
    assert_int_equal(rig_put_as(own, spec, &result), 0);
    assert_result(rig_one(own, FB_STORE_ACK, number, claim.token), FB_OK);
    assert_true(rig_put_as(own, spec, &result) > number);
}

static void test_journal__order_is_kept(void **state) {
    rig *own = *state;
    told_answer answer;
    char text[16];
    for (int i = 0; i < 50; i++) {
        (void)snprintf(text, sizeof text, "%d", i);
        (void)rig_put(own, text);
    }
    fb_job first = claim_one(own, &answer);
    assert_result(rig_one(own, FB_STORE_RELEASE, first.number, first.token), FB_OK);
    told_release(&answer);
    reopen(own);
    assert_int_equal(rig_reserve(own, 50, &answer), FB_STORE_DONE);
    assert_int_equal(answer.reply.job_count, 50);
    for (int i = 0; i < 50; i++) {
        (void)snprintf(text, sizeof text, "%d", i);
        assert_str(answer.reply.jobs[i].payload, text);
        assert_int_equal(answer.reply.jobs[i].attempt, 1);
    }
    told_release(&answer);
}

static void test_journal__numbers_go_on(void **state) {
    rig *own = *state;
    uint64_t last = rig_put(own, "a");
    for (int i = 0; i < 3; i++) {
        assert_result(rig_one(own, FB_STORE_CANCEL, last, 0), FB_OK);
        reopen(own);
        uint64_t number = rig_put(own, "b");
        assert_int_equal(number, last + 64);
        last = number;
    }
}

static void test_journal__pause_is_kept(void **state) {
    rig *own = *state;
    told_answer answer;
    static told_items items;
    fb_store_request pause = {.verb = FB_STORE_PAUSE, .queue = WORK, .flag = true};
    (void)rig_put(own, "a");
    assert_int_equal(rig_ask(own, &pause, &items, &answer), FB_STORE_DONE);
    assert_int_equal(answer.reply.value, 1);
    told_release(&answer);
    reopen(own);
    assert_int_equal(rig_reserve(own, 1, &answer), FB_STORE_DONE);
    assert_int_equal(answer.reply.job_count, 0);
    told_release(&answer);
    pause.flag = false;
    assert_int_equal(rig_ask(own, &pause, &items, &answer), FB_STORE_DONE);
    told_release(&answer);
    reopen(own);
    told_release((claim_one(own, &answer), &answer));
}

static int64_t mark_of(rig *own, fb_str name) {
    told_answer answer;
    static told_items items;
    fb_store_request get = {.verb = FB_STORE_MARK_GET, .queue = WORK, .mark = name};
    fb_store_result result = rig_ask(own, &get, &items, &answer);
    int64_t value = result == FB_STORE_DONE ? (int64_t)answer.reply.value : -1;
    assert_true(result == FB_STORE_DONE || result == FB_STORE_MISS);
    told_release(&answer);
    return value;
}

static void test_journal__marks_are_kept(void **state) {
    rig *own = *state;
    told_answer answer;
    static told_items items;
    fb_store_request set = {.verb = FB_STORE_MARK_SET, .queue = WORK, .mark = FB_STR("a"),
                            .mark_value = 5};
    assert_int_equal(rig_ask(own, &set, &items, &answer), FB_STORE_DONE);
    told_release(&answer);
    set.mark = FB_STR("b");
    set.mark_value = 7;
    assert_int_equal(rig_ask(own, &set, &items, &answer), FB_STORE_DONE);
    told_release(&answer);
    // With a mark, jobs come only once.
    fb_store_job job = {.job = {.payload = FB_STR("p"), .attempts = 1, .lease_ms = 1000}};
    fb_store_request put = {.verb = FB_STORE_ENQUEUE, .queue = WORK, .mark = FB_STR("b"),
                            .mark_value = 8, .jobs = &job, .item_count = 1};
    assert_int_equal(rig_ask(own, &put, &items, &answer), FB_STORE_DONE);
    assert_int_equal(answer.reply.value, 1);
    told_release(&answer);
    reopen(own);
    assert_int_equal(rig_ask(own, &put, &items, &answer), FB_STORE_DONE);
    assert_int_equal(answer.reply.value, 0);
    told_release(&answer);
    assert_int_equal(mark_of(own, FB_STR("a")), 5);
    assert_int_equal(mark_of(own, FB_STR("b")), 8);
    fb_store_request drop = {.verb = FB_STORE_MARK_DROP, .queue = WORK, .mark = FB_STR("a")};
    assert_int_equal(rig_ask(own, &drop, &items, &answer), FB_STORE_DONE);
    told_release(&answer);
    reopen(own);
    assert_int_equal(mark_of(own, FB_STR("a")), -1);
    expect_counts(own, 0, 1, 0, 0);
}

// From one journal into another, by what LIST tells.
static void test_journal__jobs_move(void **state) {
    rig *own = *state;
    rig other;
    told_answer answer;
    told_answer moved;
    static told_items items;
    rig_init(&other);
    rig_open(&other);
    other.token = 1000;
    uint64_t number = rig_put(own, "one");
    (void)rig_put(own, "two");
    fb_job leased = claim_one(own, &answer);
    told_release(&answer);
    fb_store_request list = {.verb = FB_STORE_LIST, .queue = WORK, .state = -1, .count = 10,
                             .flag = true};
    assert_int_equal(rig_ask(own, &list, &items, &answer), FB_STORE_DONE);
    assert_int_equal(answer.reply.job_count, 2);
    assert_str(answer.reply.jobs[1].payload, "two");
    fb_store_job jobs[2] = {{.job = answer.reply.jobs[0]}, {.job = answer.reply.jobs[1]}};
    fb_store_request import = {.verb = FB_STORE_IMPORT, .queue = WORK, .mark = FB_STR("from"),
                               .jobs = jobs, .item_count = 2};
    for (uint64_t round = 0; round < 2; round++) {
        assert_int_equal(rig_ask(&other, &import, &items, &moved), FB_STORE_DONE);
        assert_int_equal(moved.reply.value, round == 0 ? 2 : 0);
        told_release(&moved);
        reopen(&other);
    }
    told_release(&answer);
    fb_job job = claim_one(&other, &answer);
    assert_str(job.payload, "two");
    told_release(&answer);
    assert_result(rig_one(&other, FB_STORE_ACK, number, leased.token), FB_OK);
    rig_release(&other);
}

// A job that is asked for and dropped by two requests of one turn is told as it was.
static void test_journal__requests_of_one_turn_do_not_mix(void **state) {
    enum { COUNT = 40 };
    rig *own = *state;
    fb_queue_port *port = fb_journal_port(own->journal);
    told_answer answers[COUNT][3];
    static told_items items[COUNT][3];
    char big[2000];
    memset(big, 'x', sizeof big);
    for (uint64_t i = 0; i < COUNT; i++) {
        fb_store_job job = {.job = {.payload = {big, i % 2 == 0 ? sizeof big : 10}, .attempts = 1,
                                    .lease_ms = 1000}};
        fb_job_claim claim = {64 * (i + 1), 0};
        fb_store_request requests[3] = {
            {.verb = FB_STORE_ENQUEUE, .queue = WORK, .jobs = &job, .item_count = 1},
            {.verb = FB_STORE_GET, .queue = WORK, .claims = &claim, .item_count = 1},
            {.verb = FB_STORE_CANCEL, .queue = WORK, .claims = &claim, .item_count = 1}};
        for (size_t j = 0; j < 3; j++) {
            told_init(&answers[i][j]);
            items[i][j] = (told_items){.count = 1, .told = &answers[i][j]};
            assert_ok(port->send(port, &requests[j], told_items_reply, &items[i][j]));
        }
    }
    for (size_t i = 0; i < COUNT; i++) {
        for (size_t j = 0; j < 3; j++) {
            told_wait(&answers[i][j]);
            assert_int_equal(answers[i][j].reply.result, FB_STORE_DONE);
        }
        assert_int_equal(answers[i][1].reply.job_count, 1);
        assert_int_equal(answers[i][1].reply.jobs[0].payload.len, i % 2 == 0 ? sizeof big : 10);
        for (size_t j = 0; j < 3; j++) {
            told_release(&answers[i][j]);
        }
    }
    expect_counts(own, 0, 0, 0, 0);
}

// ---- time

static int64_t virtual_ms(void *arg) {
    return atomic_load((_Atomic int64_t *)arg);
}

typedef struct hint {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    int count;
} hint;

static void on_ready(void *arg, fb_str queue) {
    hint *own = arg;
    pthread_mutex_lock(&own->lock);
    if (fb_str_equal(queue, WORK)) {
        own->count++;
    }
    pthread_cond_signal(&own->wake);
    pthread_mutex_unlock(&own->lock);
}

static void wait_hint(hint *own, int count) {
    pthread_mutex_lock(&own->lock);
    while (own->count < count) {
        pthread_cond_wait(&own->wake, &own->lock);
    }
    pthread_mutex_unlock(&own->lock);
}

// A delay that is over, and a lease that is over, are told to who waits for jobs.
static void test_journal__what_becomes_ready_by_itself_is_told(void **state) {
    rig *own = *state;
    hint hinted = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
    _Atomic int64_t now = 1000000;
    told_answer answer;
    fb_store_result result;
    rig_close(own);
    own->options.now_ms = virtual_ms;
    own->options.now_arg = &now;
    rig_open(own);
    fb_journal_port(own->journal)->on_ready = on_ready;
    fb_journal_port(own->journal)->on_ready_arg = &hinted;
    fb_store_job spec = {.job = {.payload = FB_STR("p"), .lease_ms = 5000}, .delay_ms = 700};
    assert_true(rig_put_as(own, spec, &result) > 0);
    expect_counts(own, 1, 0, 0, 0);
    now += 700;
    wait_hint(&hinted, 1);
    fb_job job = claim_one(own, &answer);
    told_release(&answer);
    assert_int_equal(job.until_ms, 1005700);
    now += 5000;
    wait_hint(&hinted, 2);
    expect_counts(own, 0, 1, 0, 0);
    assert_result(rig_one(own, FB_STORE_ACK, job.number, job.token), FB_LOST);
    job = claim_one(own, &answer);
    assert_int_equal(job.attempt, 2);
    told_release(&answer);
    rig_close(own);
}

// By the system's clock, too: the thread wakes by itself.
static void test_journal__thread_wakes_for_what_is_due(void **state) {
    rig *own = *state;
    hint hinted = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
    fb_store_result result;
    fb_journal_port(own->journal)->on_ready = on_ready;
    fb_journal_port(own->journal)->on_ready_arg = &hinted;
    fb_store_job spec = {.job = {.payload = FB_STR("p")}, .delay_ms = 20};
    assert_true(rig_put_as(own, spec, &result) > 0);
    wait_hint(&hinted, 1);
    expect_counts(own, 0, 1, 0, 0);
    rig_close(own);
}

static void test_journal__lease_outlives_a_clock_set_back(void **state) {
    rig *own = *state;
    _Atomic int64_t now = 10000000;
    told_answer answer;
    rig_close(own);
    own->options.now_ms = virtual_ms;
    own->options.now_arg = &now;
    rig_open(own);
    (void)rig_put(own, "p");
    now += 1000;
    fb_job job = claim_one(own, &answer);
    told_release(&answer);
    rig_close(own);
    now -= 3600000;
    rig_open(own);
    fb_queue_look look;
    rig_look(own, &look);
    assert_int_equal(look.counts[FB_JOB_LEASED], 1);
    assert_int_equal(look.next_ms, now + job.lease_ms);
    // What was moved is in the file: moved once.
    rig_close(own);
    rig_open(own);
    rig_look(own, &look);
    assert_int_equal(look.next_ms, now + job.lease_ms);
    assert_result(rig_one(own, FB_STORE_ACK, job.number, job.token), FB_OK);
    rig_close(own);
}

// ---- opening

static void expect_refused(rig *own, const char *part) {
    fb_journal *journal = NULL;
    fb_error error = {.text = ""};
    assert_result(fb_journal_new(&own->options, &journal, &error), FB_EIO);
    assert_null(journal);
    if (strstr(error.text, part) == NULL || strstr(error.text, own->file) == NULL) {
        fail_msg("\"%s\" says neither %s nor the file", error.text, part);
    }
}

static void test_journal__second_one_is_refused(void **state) {
    rig *own = *state;
    char part[40];
    (void)snprintf(part, sizeof part, "process %ld", (long)getpid());
    expect_refused(own, part);
    pid_t child = fork();
    if (child == 0) {
        fb_journal *journal = NULL;
        fb_error error = {.text = ""};
        int result = fb_journal_new(&own->options, &journal, &error);
        _exit(result == FB_EIO && strstr(error.text, part) != NULL ? 0 : 1);
    }
    int status = 1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    (void)rig_put(own, "still works");
}

static void write_file(const char *path, const char *bytes, size_t len) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static void test_journal__foreign_files_are_refused(void **state) {
    rig *own = *state;
    sqlite3 *db = NULL;
    rig_close(own);
    assert_int_equal(unlink(own->file), 0);
    char wal[128];
    (void)snprintf(wal, sizeof wal, "%s-wal", own->file);
    assert_int_equal(unlink(wal), 0);
    static char text[9000] = "This is no database, and was never meant to be one.";
    write_file(own->file, text, sizeof text);
    expect_refused(own, "no queue file");
    assert_int_equal(unlink(own->file), 0);
    assert_int_equal(sqlite3_open(own->file, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "CREATE TABLE mine (a); INSERT INTO mine VALUES (1)", NULL,
                                  NULL, NULL),
                     SQLITE_OK);
    expect_refused(own, "another program");
    assert_int_equal(sqlite3_exec(db, "PRAGMA application_id=0x66624a31; PRAGMA user_version=9",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    expect_refused(own, "version 9");
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version=1", NULL, NULL, NULL), SQLITE_OK);
    expect_refused(own, "tables");
    assert_int_equal(sqlite3_exec(db, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
    expect_refused(own, "another program has it open");
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_int_equal(unlink(own->file), 0);
    rig_open(own);
    (void)rig_put(own, "works again");
}

static void test_journal__folder_that_is_not_there_is_told(void **state) {
    rig *own = *state;
    char file[96];
    rig_close(own);
    memcpy(file, own->file, sizeof file);
    (void)snprintf(own->file, sizeof own->file, "%s/none/queue.db", own->folder);
    expect_refused(own, "No such file");
    memcpy(own->file, file, sizeof file);
}

static void test_journal__file_of_any_name_is_a_file(void **state) {
    static const char *const names[] = {":memory:", "file:queue?mode=memory"};
    rig *own = *state;
    char file[96];
    char before[4096];
    rig_close(own);
    memcpy(file, own->file, sizeof file);
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(own->folder), 0);
    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(own->file, sizeof own->file, "%s", names[i]);
        rig_open(own);
        (void)rig_put(own, "p");
        reopen(own);
        expect_counts(own, 0, 1, 0, 0);
        rig_close(own);
        static const char *const ends[] = {"", "-wal", "-lock"};
        for (size_t k = 0; k < 3; k++) {
            char path[128];
            (void)snprintf(path, sizeof path, "%s%s", own->file, ends[k]);
            assert_int_equal(unlink(path), 0);
        }
    }
    assert_int_equal(chdir(before), 0);
    memcpy(own->file, file, sizeof file);
}

static void test_journal__file_is_for_its_owner_alone(void **state) {
    static const char *const ends[] = {"", "-wal", "-lock"};
    rig *own = *state;
    char path[128];
    for (size_t i = 0; i < 3; i++) {
        struct stat is;
        (void)snprintf(path, sizeof path, "%s%s", own->file, ends[i]);
        assert_int_equal(stat(path, &is), 0);
        assert_int_equal(is.st_mode & 077, 0);
    }
}

// ---- the rest

static void count_reply(void *arg, const fb_store_reply *reply) {
    assert_int_equal(reply->result, FB_STORE_DONE);
    atomic_fetch_add((atomic_int *)arg, 1);
}

static void test_journal__closing_answers_what_waits(void **state) {
    rig *own = *state;
    fb_queue_port *port = fb_journal_port(own->journal);
    atomic_int answers = 0;
    for (int i = 0; i < 500; i++) {
        fb_store_job job = {.job = {.payload = FB_STR("p"), .attempts = 1, .lease_ms = 1000}};
        fb_store_request put = {.verb = FB_STORE_ENQUEUE, .queue = WORK, .policy = &own->policy,
                                .jobs = &job, .item_count = 1};
        assert_ok(port->send(port, &put, count_reply, &answers));
    }
    rig_close(own);
    assert_int_equal(answers, 500);
    rig_open(own);
    expect_counts(own, 0, 500, 0, 0);
}

typedef struct gate {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool open, reached;
} gate;

static void hold_reply(void *arg, const fb_store_reply *reply) {
    gate *own = arg;
    pthread_mutex_lock(&own->lock);
    own->reached = true;
    pthread_cond_broadcast(&own->wake);
    while (!own->open) {
        pthread_cond_wait(&own->wake, &own->lock);
    }
    pthread_mutex_unlock(&own->lock);
}

static void test_journal__too_much_on_its_way_is_refused(void **state) {
    enum { BIG = 300000 };
    rig *own = *state;
    gate held = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, false};
    atomic_int answers = 0;
    char *bytes = calloc(1, BIG);
    rig_close(own);
    own->options.memory_bytes = 1000000;
    rig_open(own);
    fb_queue_port *port = fb_journal_port(own->journal);
    fb_store_job job = {.job = {.payload = {bytes, BIG}, .attempts = 1, .lease_ms = 1000}};
    fb_store_request put = {.verb = FB_STORE_ENQUEUE, .queue = WORK, .policy = &own->policy,
                            .jobs = &job, .item_count = 1};
    fb_store_request look = {.verb = FB_STORE_LOOK, .queue = WORK, .policy = &own->policy};
    assert_ok(port->send(port, &look, hold_reply, &held));
    pthread_mutex_lock(&held.lock);
    while (!held.reached) {
        pthread_cond_wait(&held.wake, &held.lock);
    }
    pthread_mutex_unlock(&held.lock);
    int sent = 0;
    int result = FB_OK;
    while ((result = port->send(port, &put, count_reply, &answers)) == FB_OK) {
        sent++;
    }
    assert_result(result, FB_EOVERLOAD);
    assert_int_equal(sent, 3);
    pthread_mutex_lock(&held.lock);
    held.open = true;
    pthread_cond_broadcast(&held.wake);
    pthread_mutex_unlock(&held.lock);
    rig_close(own);
    assert_int_equal(answers, 3);
    // One alone is never too much.
    own->options.memory_bytes = 1000;
    rig_open(own);
    port = fb_journal_port(own->journal);
    assert_ok(port->send(port, &put, count_reply, &answers));
    rig_close(own);
    assert_int_equal(answers, 4);
    free(bytes);
}

static void test_journal__log_does_not_grow(void **state) {
    rig *own = *state;
    struct stat is;
    char path[128];
    char body[3000];
    memset(body, 'x', sizeof body - 1);
    body[sizeof body - 1] = '\0';
    (void)snprintf(path, sizeof path, "%s-wal", own->file);
    own->options.power = false;
    reopen(own);
    for (int round = 0; round < 12; round++) {
        static fb_store_job jobs[500];
        static told_items items;
        told_answer answer;
        for (size_t i = 0; i < 500; i++) {
            jobs[i] = (fb_store_job){.job = {.payload = fb_str_of(body), .attempts = 1,
                                             .lease_ms = 1000}};
        }
        fb_store_request put = {.verb = FB_STORE_ENQUEUE, .queue = WORK, .jobs = jobs,
                                .item_count = 500};
        assert_int_equal(rig_ask(own, &put, &items, &answer), FB_STORE_DONE);
        told_release(&answer);
        assert_int_equal(stat(path, &is), 0);
        assert_true(is.st_size <= 4 << 20);
    }
    // The file proper has what the log does not hold any more.
    assert_int_equal(stat(own->file, &is), 0);
    assert_true(is.st_size >= 12 << 20);
    reopen(own);
    expect_counts(own, 0, 6000, 0, 0);
}

static void test_journal__is_healthy_when_nothing_is_wrong(void **state) {
    rig *own = *state;
    char text[256];
    (void)rig_put(own, "p");
    assert_true(fb_journal_healthy(own->journal, text));
    assert_string_equal(text, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_journal__job_is_done_and_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_journal__payloads_come_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_journal__everything_of_a_job_is_kept, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_journal__order_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_journal__numbers_go_on, setup, teardown),
        cmocka_unit_test_setup_teardown(test_journal__pause_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_journal__marks_are_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_journal__jobs_move, setup, teardown),
        cmocka_unit_test_setup_teardown(test_journal__requests_of_one_turn_do_not_mix, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_journal__what_becomes_ready_by_itself_is_told, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_journal__thread_wakes_for_what_is_due, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_journal__lease_outlives_a_clock_set_back, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_journal__second_one_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_journal__foreign_files_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_journal__folder_that_is_not_there_is_told, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_journal__file_of_any_name_is_a_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_journal__file_is_for_its_owner_alone, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_journal__closing_answers_what_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_journal__too_much_on_its_way_is_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_journal__log_does_not_grow, setup, teardown),
        cmocka_unit_test_setup_teardown(test_journal__is_healthy_when_nothing_is_wrong, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
