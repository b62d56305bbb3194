// Our side of bench_limits: rate limits in this process, through the public API.
//
//     limits CONFIG KEYS
//
// Opens an engine with the configuration, prints "ready", and for each line it reads does one
// thing:
//
//   fill RULE COST           asks once for each key with this cost; "BYTES_A_KEY KEYS"
//   check RULE THREADS CALLS so many on each thread; "CPU_NS ELAPSED_NS ALLOWED": of a check, and
//                            which share of them was allowed
//   wait RULE MILLISECONDS   one after another for so long, with the key "one" and others in turn;
//                            "COUNT P50_US P99_US MOST_US DEGRADED ERRORS"
//
// Keys are asked for in an order that was shuffled before, each once before any comes again, so
// that the distance of two questions for one key is known; they were made beforehand.

#include <forebay/forebay.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { KEY_LEN = 20, THREADS_MAX = 8, SAMPLES_MAX = 1 << 22 };

typedef struct crew_part {
    fb_str rule;
    uint64_t place, calls, allowed;
    int64_t cpu_ns;
} crew_part;

static fb_engine *engine;
static char *names;  // of KEY_LEN bytes each, in the order in which they are asked for
static uint64_t key_count;
static pthread_barrier_t start_line;

static int64_t read_clock(clockid_t which) {
    struct timespec now;
    clock_gettime(which, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void die(const char *what, const char *why) {
    fprintf(stderr, "limits: %s: %s\n", what, why);
    exit(1);
}

static void make_names(void) {
    uint64_t random = 88172645463325252u;
    uint32_t *order = calloc(key_count, sizeof *order);
    names = malloc(key_count * KEY_LEN + 1);
    if (order == NULL || names == NULL) {
        die("keys", "not enough memory");
    }
    for (uint64_t i = 0; i < key_count; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        uint64_t other = random % (i + 1);
        order[i] = order[other];
        order[other] = (uint32_t)i;
    }
    for (uint64_t i = 0; i < key_count; i++) {
        char name[KEY_LEN + 1];
        snprintf(name, sizeof name, "user:%015" PRIu32, order[i]);
        memcpy(names + i * KEY_LEN, name, KEY_LEN);
    }
    free(order);
}

static fb_str key_at(uint64_t place) {
    return (fb_str){names + place % key_count * KEY_LEN, KEY_LEN};
}

static int ask(fb_str rule, fb_str key, uint32_t cost, fb_verdict *verdict) {
    fb_limit_question question = {.rule = rule, .key = key, .cost = cost};
    fb_error error;
    return fb_limit_check(engine, &question, 1, 0, verdict, &error);
}

static void must(int result, const char *what) {
    if (result < 0) {
        die(what, fb_result_text(result));
    }
}

// ---- fill

typedef struct wanted {
    fb_str rule;
    double bytes_each;
    uint64_t keys;
} wanted;

static void see_figures(void *arg, const fb_limit_figures *figures) {
    wanted *self = arg;
    if (strlen(figures->name) == self->rule.len &&
        memcmp(figures->name, self->rule.ptr, self->rule.len) == 0) {
        self->keys = figures->keys;
        self->bytes_each = figures->keys > 0 ? (double)figures->bytes / (double)figures->keys : 0;
    }
}

static void fill(fb_str rule, uint32_t cost) {
    wanted found = {.rule = rule};
    fb_verdict verdict;
    for (uint64_t i = 0; i < key_count; i++) {
        must(ask(rule, key_at(i), cost, &verdict), "check");
    }
    must(fb_limit_figures_read(engine, see_figures, &found), "figures");
    printf("%.1f %" PRIu64 "\n", found.bytes_each, found.keys);
}

// ---- check

static void *run_part(void *arg) {
    crew_part *self = arg;
    fb_verdict verdict;
    pthread_barrier_wait(&start_line);
    int64_t begun = read_clock(CLOCK_THREAD_CPUTIME_ID);
    for (uint64_t i = 0; i < self->calls; i++) {
        self->allowed += ask(self->rule, key_at(self->place + i), 1, &verdict) == FB_OK;
    }
    self->cpu_ns = read_clock(CLOCK_THREAD_CPUTIME_ID) - begun;
    pthread_barrier_wait(&start_line);
    return NULL;
}

static void check(fb_str rule, unsigned threads, uint64_t calls) {
    static uint64_t place;
    crew_part parts[THREADS_MAX];
    pthread_t ids[THREADS_MAX];
    int64_t cpu_ns = 0;
    uint64_t allowed = 0;
    pthread_barrier_init(&start_line, NULL, threads + 1);
    for (unsigned i = 0; i < threads; i++) {
        uint64_t apart = i * key_count / threads;
        parts[i] = (crew_part){.rule = rule, .place = place + apart, .calls = calls};
        if (pthread_create(&ids[i], NULL, run_part, &parts[i]) != 0) {
            die("threads", "none to be had");
        }
    }
    pthread_barrier_wait(&start_line);
    int64_t begun = read_clock(CLOCK_MONOTONIC);
    pthread_barrier_wait(&start_line);
    int64_t elapsed_ns = read_clock(CLOCK_MONOTONIC) - begun;
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
        cpu_ns += parts[i].cpu_ns;
        allowed += parts[i].allowed;
    }
    pthread_barrier_destroy(&start_line);
    place += calls;
    double all = (double)(calls * threads);
    printf("%.2f %.2f %.4f\n", (double)cpu_ns / all, (double)elapsed_ns / all,
           (double)allowed / all);
}

// ---- wait

static int compare(const void *one, const void *other) {
    int32_t a = *(const int32_t *)one, b = *(const int32_t *)other;
    return (a > b) - (a < b);
}

static void wait_for(fb_str rule, int64_t duration_ms) {
    static int32_t took_ns[SAMPLES_MAX];
    size_t count = 0, degraded = 0, errors = 0;
    int64_t now = read_clock(CLOCK_MONOTONIC), end = now + duration_ms * 1000000;
    while (now < end && count < SAMPLES_MAX) {
        fb_verdict verdict = {0};
        int result = ask(rule, count % 2 == 0 ? FB_STR("one") : key_at(count), 1, &verdict);
        int64_t after = read_clock(CLOCK_MONOTONIC);
        errors += result < 0;
        degraded += verdict.degraded;
        took_ns[count++] = after - now < INT32_MAX ? (int32_t)(after - now) : INT32_MAX;
        now = after;
    }
    qsort(took_ns, count, sizeof *took_ns, compare);
    printf("%zu %.1f %.1f %.1f %zu %zu\n", count, took_ns[count / 2] / 1e3,
           took_ns[count * 99 / 100] / 1e3, took_ns[count - 1] / 1e3, degraded, errors);
}

// The trouble is ours: nobody needs to be told of it.
static void say_nothing(void *arg, fb_log_level level, const char *event, const char *fields) {
    (void)arg;
    (void)level;
    (void)event;
    (void)fields;
}

static void open_engine(const char *path) {
    static char text[65536];
    fb_config *config = NULL;
    fb_error error;
    FILE *file = fopen(path, "re");
    size_t len = file != NULL ? fread(text, 1, sizeof text, file) : 0;
    if (file == NULL || len == sizeof text) {
        die(path, "cannot be read");
    }
    fclose(file);
    must(fb_config_new(&config), "configuration");
    if (fb_config_read(config, (fb_str){text, len}, path, &error) < 0 ||
        fb_open(config, &engine, &error) < 0) {
        die(path, error.text);
    }
    fb_config_free(config);
}

int main(int argc, char **argv) {
    char line[200], verb[16], rule_name[65];
    uint64_t number, calls;
    if (argc != 3) {
        fputs("usage: limits CONFIG KEYS\n", stderr);
        return 2;
    }
    fb_hooks_set(&(fb_hooks){.log = say_nothing});
    key_count = strtoull(argv[2], NULL, 10);
    make_names();
    open_engine(argv[1]);
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin) != NULL) {
        int words = sscanf(line, "%15s %64s %" SCNu64 " %" SCNu64, verb, rule_name, &number,
                           &calls);
        fb_str rule = {rule_name, strlen(rule_name)};
        if (words == 3 && strcmp(verb, "fill") == 0) {
            fill(rule, (uint32_t)number);
        } else if (words == 4 && strcmp(verb, "check") == 0 && number > 0 &&
                   number <= THREADS_MAX) {
            check(rule, (unsigned)number, calls);
        } else if (words == 3 && strcmp(verb, "wait") == 0) {
            wait_for(rule, (int64_t)number);
        } else {
            die("not understood", line);
        }
        fflush(stdout);
    }
    fb_close(engine, 1000);
    free(names);
    return 0;
}
