// A process that works on a journal is killed again and again, at each point that the journal
// passes (FB_JOURNAL_KILL) and at any moment. What it was told it writes down first thing, in a
// file that outlives it. After each kill the journal is opened, and compared with what was told:
//
//   E id           accepted                    → it is there, unless somebody set out to finish it
//   R id attempt   claimed for the nth time    → told once, and never for more than its attempts
//   a id           about to be finished
//   A id attempt   finished                    → it is not there, and was not claimed after that
//
// FB_KILLS=2000 in the environment: as many kills.

#include "journal_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

enum { RUN_IDS = 512, RUN_JOBS = 90, THREADS = 3, ATTEMPTS = 3 };

typedef struct life {
    bool accepted, intended, finished, there;
    uint8_t claims;              // a bit each
    uint8_t last;                // of the claim that finished it
} life;

typedef struct crew {
    rig rig;
    int log;
    int run;
    atomic_int last_id;
    atomic_uint_fast64_t last_token;
} crew;

// ---- the process that is killed

static void note(const crew *own, char what, int id, uint32_t attempt) {
    char line[64];
    int len = snprintf(line, sizeof line, "%c %d %u\n", what, id, attempt);
    if (write(own->log, line, (size_t)len) != len) {
        _exit(3);
    }
}

static fb_store_result ask(crew *own, fb_store_request request, told_items *items,
                           told_answer *answer) {
    request.queue = WORK;
    fb_store_result result = rig_ask(&own->rig, &request, items, answer);
    if (result != FB_STORE_DONE) {
        _exit(4);
    }
    return result;
}

static void put(crew *own, fb_rng *rng, told_items *items) {
    char texts[3][3000];
    fb_store_job jobs[3];
    int ids[3];
    told_answer answer;
    size_t count = 1 + fb_rng_below(rng, 3);

    for (size_t i = 0; i < count; i++) {
        ids[i] = own->run * RUN_IDS + atomic_fetch_add(&own->last_id, 1);
        memset(texts[i], 'x', sizeof texts[i]);
        (void)snprintf(texts[i], sizeof texts[i], "%d", ids[i]);
        size_t len = fb_rng_below(rng, 4) == 0 ? sizeof texts[i] : 20;
        jobs[i] = (fb_store_job){.job = {.payload = {texts[i], len}, .attempts = ATTEMPTS,
                                         .priority = (uint8_t)fb_rng_below(rng, 10),
                                         .lease_ms = fb_rng_below(rng, 2) == 0 ? 3 : 60000}};
    }
    (void)ask(own, (fb_store_request){.verb = FB_STORE_ENQUEUE, .jobs = jobs, .item_count = count},
              items, &answer);
    for (size_t i = 0; i < count; i++) {
        note(own, 'E', ids[i], 0);
    }
    told_release(&answer);
}

static void finish(crew *own, fb_rng *rng, const fb_job *job, told_items *items) {
    told_answer answer;
    int id = atoi(job->payload.ptr);
    bool ack = fb_rng_below(rng, 3) > 0;
    fb_job_claim claim = {job->number, job->token};
    fb_store_request request = {.verb = ack ? FB_STORE_ACK : FB_STORE_FAIL, .claims = &claim,
                                .item_count = 1, .delay_ms = (int64_t)fb_rng_below(rng, 2),
                                .text = FB_STR("not this time")};
    if (ack) {
        note(own, 'a', id, 0);
    }
    (void)ask(own, request, items, &answer);
    if (ack && items->results[0] == FB_OK) {
        note(own, 'A', id, job->attempt);
    }
    told_release(&answer);
}

static void *work(void *arg) {
    crew *own = arg;
    told_items *items = malloc(sizeof *items);
    fb_rng rng;
    fb_rng_init(&rng,
                test_seed() + (uint64_t)own->run * 31 + atomic_fetch_add(&own->last_token, 1));
    while (atomic_load(&own->last_id) < RUN_JOBS) {
        told_answer answer;
        put(own, &rng, items);
        (void)ask(own,
                  (fb_store_request){.verb = FB_STORE_RESERVE, .count = 2,
                                     .token = atomic_fetch_add(&own->last_token, 2) + 1},
                  items, &answer);
        for (size_t i = 0; i < answer.reply.job_count; i++) {
            const fb_job *job = &answer.reply.jobs[i];
            note(own, 'R', atoi(job->payload.ptr), job->attempt);
            if (fb_rng_below(&rng, 4) > 0) {
                finish(own, &rng, job, items);
            }
        }
        told_release(&answer);
    }
    free(items);
    return NULL;
}

static void child(crew *own) {
    pthread_t threads[THREADS];
    fb_error error;
    own->rig.options.power = own->run % 4 == 0;
    own->last_id = 0;
    own->last_token = (uint64_t)own->run * 100000 + 1;
    if (fb_journal_new(&own->rig.options, &own->rig.journal, &error) != FB_OK) {
        (void)fprintf(stderr, "%s\n", error.text);
        _exit(2);
    }
    for (size_t i = 0; i < THREADS; i++) {
        if (pthread_create(&threads[i], NULL, work, own) != 0) {
            _exit(5);
        }
    }
    for (size_t i = 0; i < THREADS; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    fb_journal_free(own->rig.journal);
    _exit(0);
}

// ---- the account

typedef struct account {
    life *lives;
    size_t cap;
    long read;                   // of the file
    char path[128];
    long accepted, claims, finished;
} account;

static life *life_of(account *own, size_t id) {
    if (id >= own->cap) {
        size_t cap = (id + RUN_IDS) * 2;
        own->lives = realloc(own->lives, cap * sizeof *own->lives);
        assert_non_null(own->lives);
        memset(own->lives + own->cap, 0, (cap - own->cap) * sizeof *own->lives);
        own->cap = cap;
    }
    return &own->lives[id];
}

static void read_claim(account *own, life *one, int id, unsigned attempt) {
    assert_in_range(attempt, 1, ATTEMPTS);
    if ((one->claims >> attempt & 1) != 0) {
        fail_msg("job %d was claimed twice for the %uth time", id, attempt);
    }
    one->claims |= (uint8_t)(1u << attempt);
    own->claims++;
}

static void read_finish(account *own, life *one, int id, unsigned attempt) {
    if (one->finished) {
        fail_msg("job %d was finished twice", id);
    }
    one->finished = true;
    one->last = (uint8_t)attempt;
    own->finished++;
}

static void read_log(account *own) {
    FILE *file = fopen(own->path, "r");
    char what;
    int id;
    unsigned attempt;
    assert_non_null(file);
    assert_int_equal(fseek(file, own->read, SEEK_SET), 0);
    while (fscanf(file, "%c %d %u\n", &what, &id, &attempt) == 3) {
        life *one = life_of(own, (size_t)id);
        if (what == 'E') {
            one->accepted = true;
            own->accepted++;
        } else if (what == 'R') {
            read_claim(own, one, id, attempt);
        } else if (what == 'a') {
            one->intended = true;
        } else {
            read_finish(own, one, id, attempt);
        }
    }
    own->read = ftell(file);
    assert_int_equal(fclose(file), 0);
}

static void see(account *own, const fb_job *job) {
    int id = atoi(job->payload.ptr);
    life *one = life_of(own, (size_t)id);
    if (one->finished) {
        fail_msg("job %d was finished, and is there", id);
    }
    if (one->there) {
        fail_msg("job %d is there twice", id);
    }
    one->there = true;
    assert_true(job->attempt <= ATTEMPTS);
    assert_true(job->state != FB_JOB_DEAD || job->attempt == ATTEMPTS);
}

static void see_all(account *own, rig *at) {
    static told_items items;
    uint64_t after = 0;
    size_t count = 0;
    do {
        told_answer answer;
        fb_store_request list = {.verb = FB_STORE_LIST, .queue = WORK, .state = -1, .count = 1000,
                                 .after = after, .flag = true};
        assert_int_equal(rig_ask(at, &list, &items, &answer), FB_STORE_DONE);
        count = answer.reply.job_count;
        for (size_t i = 0; i < count; i++) {
            see(own, &answer.reply.jobs[i]);
            after = answer.reply.jobs[i].number;
        }
        told_release(&answer);
    } while (count > 0);
}

// What died is removed, so that it is not looked at after every kill.
static void bury(account *own, rig *at) {
    static told_items items;
    told_answer answer;
    fb_store_request purge = {.verb = FB_STORE_PURGE, .queue = WORK, .state = FB_JOB_DEAD,
                              .count = 1000000};
    assert_int_equal(rig_ask(at, &purge, &items, &answer), FB_STORE_DONE);
    told_release(&answer);
    for (size_t id = 0; id < own->cap; id++) {
        own->lives[id].there = false;
    }
    see_all(own, at);
    for (size_t id = 0; id < own->cap; id++) {
        life *one = &own->lives[id];
        one->intended = one->intended || !one->there;
    }
}

static void check(account *own, rig *at) {
    read_log(own);
    rig_open(at);
    for (size_t id = 0; id < own->cap; id++) {
        own->lives[id].there = false;
    }
    see_all(own, at);
    for (size_t id = 0; id < own->cap; id++) {
        const life *one = &own->lives[id];
        if (one->accepted && !one->intended && !one->there) {
            fail_msg("job %zu was accepted, and is lost", id);
        }
        if (one->finished && one->claims >> (one->last + 1) != 0) {
            fail_msg("job %zu was claimed after it was finished", id);
        }
    }
    bury(own, at);
    rig_close(at);
}

// ---- the loop

// At a point, or after a while: NULL.
static const char *choose(fb_rng *rng, char *text, size_t size) {
    static const char *const points[] = {
#define NAME(name) #name,
        FB_JOURNAL_POINTS(NAME)
#undef NAME
    };
    uint64_t which = fb_rng_below(rng, sizeof points / sizeof points[0] + 2);
    if (which >= sizeof points / sizeof points[0]) {
        return NULL;
    }
    bool rare = strcmp(points[which], "LOADED") == 0 || strcmp(points[which], "CHECKPOINT") == 0;
    (void)snprintf(text, size, "%s:%d", points[which],
                   (int)(strcmp(points[which], "LOADED") == 0
                             ? 1
                             : 1 + fb_rng_below(rng, rare ? 2 : 40)));
    return text;
}

// Whether it was killed, rather than done.
static bool kill_once(crew *own, fb_rng *rng) {
    char text[40];
    const char *point = choose(rng, text, sizeof text);
    int wait_ms = (int)fb_rng_below(rng, 60);
    int status = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (point != NULL) {
            (void)setenv("FB_JOURNAL_KILL", point, 1);
        }
        child(own);
    }
    if (point == NULL) {
        (void)poll(NULL, 0, wait_ms);  // any moment
        (void)kill(pid, SIGKILL);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    if (!killed && !(WIFEXITED(status) && WEXITSTATUS(status) == 0)) {
        fail_msg("run %d (%s) ended with %x", own->run, point != NULL ? point : "any", status);
    }
    return killed;
}

static void test_journal_kill__nothing_is_lost_or_done_twice(void **state) {
    const char *text = getenv("FB_KILLS");
    int kills = text != NULL ? atoi(text) : 40;
    crew own;
    account told_so = {NULL, 0, 0, "", 0, 0, 0};
    fb_rng rng = test_rng();
    int done = 0;

    memset(&own, 0, sizeof own);
    rig_init(&own.rig);
    (void)snprintf(told_so.path, sizeof told_so.path, "%s/told", own.rig.folder);
    own.log = open(told_so.path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(own.log >= 0);
    for (own.run = 0; done < kills && own.run < kills * 20; own.run++) {
        done += kill_once(&own, &rng) ? 1 : 0;
        check(&told_so, &own.rig);
    }
    printf("%d kills in %d runs: %ld jobs, %ld claims, %ld finished\n", done, own.run,
           told_so.accepted, told_so.claims, told_so.finished);
    assert_int_equal(done, kills);
    assert_true(told_so.accepted > kills && told_so.finished > 0);
    (void)close(own.log);
    (void)unlink(told_so.path);
    free(told_so.lives);
    rig_release(&own.rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_journal_kill__nothing_is_lost_or_done_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
