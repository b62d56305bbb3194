// The writer of a region is killed by SIGKILL at random instants, over and over, while another
// process reads. After each kill the region is adopted, checked, and read in full.
//
// Every operation on a key has a number, one higher than the last one. The writer tells in memory
// that all processes share ("the board") which number it begins and which it has finished. A value
// says its key and number and carries a checksum. So whoever reads a value knows: it must be whole,
// of that key, of no number below the last one finished before the read began, and of none above
// the last one begun when it ended; and no reader ever sees a number below one it saw before. That
// something is not there is always allowed, but it must not be the rule.
//
// `test_store_crash --kills 10000` does ten thousand; `--file PATH` puts the region there, such as
// on a tmpfs that is smaller than it (then what could not be stored is no failure). Some of the
// kills hit the process after a random number of single steps (ptrace) into one operation, where
// the system allows that.

#include <forebay/store.h>

#include "support.h"

#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    KEYS = 4000,
    THREADS = 2,
    VALUE_MAX = 60000,
    LIMIT = 3 << 20,
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    KILLS = 60,  // unless said otherwise
#else
    KILLS = 300,
#endif
    STEPPED_EVERY = 10,  // one kill of so many by single steps
    STEPS_MAX = 4000,
    PAUSE_MAX_NS = 1500000,
    KEPT_PERCENT = 5  // of the items, after a kill, at least, in the mean
};

typedef struct record {
    _Atomic uint64_t begun, finished;
} record;

typedef struct board {
    record records[KEYS];
    _Atomic int64_t now_ns;
    _Atomic uint32_t ready, stop;
    _Atomic uint64_t reads, hits;
    char complaint[512];
} board;

static board *shared;
static unsigned kills = KILLS;
static const char *path;  // NULL: a file without a name
static int region_fd;

// ---- values

typedef struct head {
    uint64_t key, number, len, sum;
} head;

static uint64_t sum_of(const char *value, uint64_t len) {
    head copy;
    memcpy(&copy, value, sizeof(copy));
    copy.sum = 0;
    uint64_t seed = fb_hash64(fb_str_make((const char *)&copy, sizeof(copy)), 99);
    return fb_hash64(fb_str_make(value + sizeof(copy), len - sizeof(copy)), seed);
}

static fb_str make_value(uint64_t key, uint64_t number, fb_rng *rng, char *room) {
    uint64_t kind = fb_rng_below(rng, 100);
    uint64_t len = sizeof(head) + fb_rng_below(rng, kind < 2 ? VALUE_MAX : kind < 20 ? 2000 : 120);
    for (uint64_t at = sizeof(head); at < len; at += sizeof(uint64_t)) {
        uint64_t word = fb_rng_next(rng);
        memcpy(room + at, &word, sizeof(word));
    }
    head top = {key, number, len, 0};
    memcpy(room, &top, sizeof(top));
    top.sum = sum_of(room, len);
    memcpy(room, &top, sizeof(top));
    return fb_str_make(room, len);
}

static fb_str key_of(uint64_t key, char *text) {
    int len = snprintf(text, 32, "key-%llu", (unsigned long long)key);
    return fb_str_make(text, (size_t)len);
}

__attribute__((format(printf, 1, 2))) static bool complain(const char *format, ...) {
    va_list args;
    va_start(args, format);
    (void)vsnprintf(shared->complaint, sizeof(shared->complaint), format, args);
    va_end(args);
    return false;
}

// Whether a value may be what is under the key. *number: which it is.
static bool judge(uint64_t key, const char *value, uint64_t len, uint64_t least, uint64_t *number) {
    head top;
    if (len < sizeof(top)) {
        return complain("key %llu: %llu bytes", (unsigned long long)key, (unsigned long long)len);
    }
    memcpy(&top, value, sizeof(top));
    uint64_t most = shared->records[key].begun;
    if (top.key != key || top.len != len || top.sum != sum_of(value, len)) {
        return complain("key %llu: a wrong value: key %llu, length %llu of %llu",
                        (unsigned long long)key, (unsigned long long)top.key,
                        (unsigned long long)len, (unsigned long long)top.len);
    }
    if (top.number < least || top.number > most) {
        return complain("key %llu: number %llu is not from %llu to %llu", (unsigned long long)key,
                        (unsigned long long)top.number, (unsigned long long)least,
                        (unsigned long long)most);
    }
    *number = top.number;
    return true;
}

// ---- the reader

static char read_room[VALUE_MAX + sizeof(head)];
static uint64_t newest[KEYS];

static bool read_one(fb_store *store, uint64_t key) {
    char text[32];
    fb_item item;
    uint64_t finished = shared->records[key].finished;
    uint64_t least = finished > newest[key] ? finished : newest[key];
    int result = fb_store_get_copy(store, key_of(key, text), shared->now_ns, read_room,
                                   sizeof(read_room), &item);
    if (result == FB_MISS) {
        return true;
    }
    shared->hits++;
    return result == FB_OK ? judge(key, item.value.ptr, item.value.len, least, &newest[key])
                           : complain("get_copy gave %s", fb_result_name(result));
}

typedef struct lent {
    char bytes[VALUE_MAX + sizeof(head)];
    uint64_t len;
} lent;

static void keep(void *arg, const fb_item *item) {
    lent *to = arg;
    to->len = item->value.len;
    if (to->len <= sizeof(to->bytes)) {
        memcpy(to->bytes, item->value.ptr, to->len);
    }
}

static bool read_many(fb_store *store, fb_rng *rng) {
    enum { MANY = 20 };
    static lent values[MANY];
    char texts[MANY][32];
    fb_str keys[MANY];
    uint64_t numbers[MANY];
    uint64_t least[MANY];
    void *args[MANY];
    int results[MANY];
    for (unsigned i = 0; i < MANY; i++) {
        numbers[i] = fb_rng_below(rng, KEYS);
        keys[i] = key_of(numbers[i], texts[i]);
        uint64_t finished = shared->records[numbers[i]].finished;
        least[i] = finished > newest[numbers[i]] ? finished : newest[numbers[i]];
        args[i] = &values[i];
    }
    fb_store_get_many(store, keys, MANY, shared->now_ns, keep, args, results);
    for (unsigned i = 0; i < MANY; i++) {
        shared->hits += results[i] == FB_OK;
        if (results[i] == FB_OK &&
            !judge(numbers[i], values[i].bytes, values[i].len, least[i], &newest[numbers[i]])) {
            return false;
        }
    }
    return true;
}

static void be_reader(void) {
    fb_rng rng;
    fb_rng_init(&rng, 5);
    fb_store *store = NULL;
    if (fb_store_attach(region_fd, 0, 0, &store, NULL) != FB_OK) {
        _exit(2);
    }
    bool right = true;
    while (right && shared->stop == 0) {
        for (unsigned i = 0; i < 64 && right; i++) {
            right = read_one(store, fb_rng_below(&rng, KEYS));
        }
        right = right && read_many(store, &rng);
        shared->reads += 84;
    }
    _exit(right ? 0 : 1);
}

// ---- the writer

typedef struct writer {
    fb_store *store;
    fb_rng rng;
    unsigned number;
    bool whole;  // also what concerns the whole store
    char value[VALUE_MAX + 64];
} writer;

static int lengthen(void *arg, const fb_item *item, fb_item *next, fb_store_action *action) {
    writer *self = arg;
    if (item == NULL) {
        return FB_MISS;
    }
    next->expires_ns = shared->now_ns + (int64_t)fb_rng_below(&self->rng, 5000);
    *action = FB_STORE_META;
    return FB_OK;
}

static int exchange(void *arg, const fb_item *item, fb_item *next, fb_store_action *action) {
    writer *self = arg;
    head top;
    memcpy(&top, self->value, sizeof(top));
    next->value = fb_str_make(self->value, top.len);
    *action = FB_STORE_PUT;
    return item != NULL ? FB_OK : FB_MISS;
}

static bool failed(int result) {
    return result < 0 && (result != FB_ENOMEM || path == NULL);
}

static void change_one(writer *self) {
    char text[32];
    uint64_t key = fb_rng_below(&self->rng, KEYS / THREADS) * THREADS + self->number;
    record *entry = &shared->records[key];
    uint64_t number = entry->begun + 1;
    uint64_t kind = fb_rng_below(&self->rng, 20);
    fb_item item = {.key = key_of(key, text)};
    int64_t now_ns = ++shared->now_ns;
    int result;
    if (kind == 0) {
        result = fb_store_edit(self->store, item.key, now_ns, lengthen, self);
        if (failed(result)) {
            abort();
        }
        return;
    }
    item.value = make_value(key, number, &self->rng, self->value);
    entry->begun = number;
    if (kind < 3) {
        result = fb_store_del(self->store, item.key, now_ns);
    } else if (kind < 5) {
        result = fb_store_edit(self->store, item.key, now_ns, exchange, self);
    } else {
        item.expires_ns = kind < 8 ? now_ns + (int64_t)fb_rng_below(&self->rng, 20000) : 0;
        result = fb_store_put(self->store, &item, now_ns, NULL);
    }
    if (failed(result)) {
        abort();
    }
    // What was not stored for lack of memory has left what was there: its number is not finished.
    if (result >= 0) {
        entry->finished = number;
    }
}

static bool pick_some(void *arg, const fb_item *item) {
    return *(uint64_t *)arg % 64 == item->version % 64;
}

static void change_whole(writer *self) {
    uint64_t chance = fb_rng_next(&self->rng) >> 16;
    switch (fb_rng_below(&self->rng, 12)) {
        case 0:
            if (fb_rng_below(&self->rng, 8) == 0) {
                (void)fb_store_clear(self->store);
            }
            break;
        case 1:
            (void)fb_store_remove_if(self->store, shared->now_ns, pick_some, &chance);
            break;
        case 2:
            if (failed(fb_store_resize(self->store, LIMIT - chance % (LIMIT / 3)))) {
                abort();
            }
            break;
        default:
            (void)fb_store_sweep(self->store, shared->now_ns, chance % 2000);
            break;
    }
}

static void *write_on(void *arg) {
    writer *self = arg;
    for (;;) {
        change_one(self);
        if (self->whole && fb_rng_below(&self->rng, 200) == 0) {
            change_whole(self);
        }
        fb_store_beat(self->store, shared->now_ns);
    }
    return NULL;
}

static fb_store_options options(void) {
    return (fb_store_options){.limit_bytes = LIMIT,
                              .limit_max_bytes = 2 * LIMIT,
                              .shard_count = 8,
                              .seed = 3,
                              .in_file = true,
                              .fd = region_fd};
}

static fb_store *adopt(fb_store_adopted *adopted) {
    fb_store_options how = options();
    fb_store *store = NULL;
    fb_error error = {0};
    if (fb_store_adopt(&how, &store, adopted, &error) != FB_OK) {
        (void)fprintf(stderr, "not adopted: %s\n", error.text);
        abort();
    }
    return store;
}

static void be_writer(uint64_t seed, bool stepped) {
    static writer writers[THREADS];
    fb_store_adopted adopted;
    fb_store *store = adopt(&adopted);
    for (unsigned i = 0; i < THREADS; i++) {
        writers[i].store = store;
        writers[i].number = i;
        writers[i].whole = i == 0;
        fb_rng_init(&writers[i].rng, seed + i);
    }
    if (stepped) {
        for (unsigned i = 0; i < 200; i++) {
            change_one(&writers[i % THREADS]);
        }
        (void)raise(SIGSTOP);
        for (;;) {
            change_one(&writers[0]);
            if (seed % 3 == 0) {
                change_whole(&writers[0]);
            }
        }
    }
    pthread_t thread;
    if (seed % 2 == 0 && pthread_create(&thread, NULL, write_on, &writers[1]) != 0) {
        abort();
    }
    shared->ready = 1;
    (void)write_on(&writers[0]);
}

// ---- the parent

static pid_t start(void (*be)(uint64_t, bool), uint64_t seed, bool traced) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (traced && ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) {
            _exit(3);
        }
        be(seed, traced);
        _exit(4);
    }
    return child;
}

static void pause_ns(uint64_t ns) {
    struct timespec time = {.tv_nsec = (long)ns};
    (void)nanosleep(&time, NULL);
}

static void end(pid_t child) {
    int status = 0;
    (void)kill(child, SIGKILL);
    do {
        assert_int_equal(waitpid(child, &status, 0), child);
    } while (WIFSTOPPED(status));
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
        fail_msg("the writer ended by itself: status %d, %s", status, shared->complaint);
    }
}

// Kills after some time; one in four perhaps while the region is being adopted.
static void kill_at_random(fb_rng *rng, uint64_t seed) {
    shared->ready = 0;
    pid_t child = start(be_writer, seed, false);
    if (seed % 4 != 1) {
        while (shared->ready == 0 && kill(child, 0) == 0 && waitpid(child, NULL, WNOHANG) == 0) {
            pause_ns(10000);
        }
    }
    pause_ns(fb_rng_below(rng, PAUSE_MAX_NS));
    end(child);
}

// False: the system does not allow it.
static bool kill_after_steps(fb_rng *rng, uint64_t seed) {
    pid_t child = start(be_writer, seed, true);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFSTOPPED(status)) {
        return false;
    }
    uint64_t steps = fb_rng_below(rng, STEPS_MAX);
    for (uint64_t i = 0; i < steps && WIFSTOPPED(status); i++) {
        assert_int_equal(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
    }
    end(child);
    return true;
}

typedef struct sums {
    uint64_t items, kept, dropped;
} sums;

static void count_item(void *arg, const fb_item *item) {
    (void)item;
    ++*(uint64_t *)arg;
}

static void look_through(sums *all) {
    fb_store_adopted adopted = {0};
    fb_store *store = adopt(&adopted);
    fb_store_check(store);
    uint64_t live = 0;
    for (uint64_t key = 0; key < KEYS; key++) {
        if (!read_one(store, key)) {
            fail_msg("after a kill: %s", shared->complaint);
        }
    }
    uint64_t cursor = 0;
    do {
        cursor = fb_store_scan(store, cursor, 1000, shared->now_ns, count_item, &live);
    } while (cursor != 0);
    assert_true(live <= adopted.items);
    all->items += live;
    all->dropped += adopted.shards_dropped;
    all->kept += adopted.shards_dropped == 0;
    fb_store_free(store);
}

static double seconds(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void test_store__a_writer_may_be_killed_at_any_instruction(void **state) {
    (void)state;
    fb_rng rng;
    fb_rng_init(&rng, test_seed());
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    region_fd = path != NULL ? open(path, O_RDWR | O_CREAT | O_EXCL, 0600)
                             : memfd_create("region", MFD_CLOEXEC);
    assert_true(region_fd >= 0);
    fb_store_options how = options();
    fb_store *store = NULL;
    assert_ok(fb_store_new(&how, &store));
    fb_store_free(store);
    pid_t reader = fork();
    assert_true(reader >= 0);
    if (reader == 0) {
        be_reader();
    }
    double begin = seconds();
    bool steps_work = true;
    unsigned stepped = 0;
    sums all = {0};
    for (unsigned i = 0; i < kills; i++) {
        if (steps_work && i % STEPPED_EVERY == 0) {
            steps_work = kill_after_steps(&rng, fb_rng_next(&rng));
            stepped += steps_work;
        } else {
            kill_at_random(&rng, fb_rng_next(&rng));
        }
        look_through(&all);
        if (waitpid(reader, NULL, WNOHANG) != 0) {
            fail_msg("the reader: %s", shared->complaint);
        }
    }
    shared->stop = 1;
    int status = 0;
    assert_int_equal(waitpid(reader, &status, 0), reader);
    assert_int_equal(status, 0);
    print_message(
        "%u kills (%u by steps) in %.1f s; %llu reads beside them, %.0f %% hits; %llu "
        "shards dropped; %.0f items there in the mean\n",
        kills, stepped, seconds() - begin, (unsigned long long)shared->reads,
        100.0 * (double)shared->hits / (double)(shared->reads + 1), (unsigned long long)all.dropped,
        (double)all.items / kills);
    assert_true(all.items / kills > KEYS * KEPT_PERCENT / 100);
    munmap(shared, sizeof(*shared));
    (void)close(region_fd);
}

int main(int argc, char **argv) {
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--kills") == 0) {
            kills = (unsigned)strtoul(argv[i + 1], NULL, 10);
        } else if (strcmp(argv[i], "--file") == 0) {
            path = argv[i + 1];
        }
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_store__a_writer_may_be_killed_at_any_instruction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
