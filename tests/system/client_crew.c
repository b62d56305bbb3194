// Processes that read and write through one daemon, which somebody else kills and starts again.
// Ends with 0 if nobody ever saw what he must not:
//
//   - a value that is not whole, or another key's;
//   - by the process that wrote a key: anything but its last value, or nothing;
//   - by another process: a value older than what the daemon had acknowledged before the read.
//
// Usage: client_crew URL MILLISECONDS. Prints what they counted. Public headers alone.

#include <forebay/client.h>

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WRITERS = 2, READERS = 3, KEYS_EACH = 20, KEYS = WRITERS * KEYS_EACH, VALUE_MAX = 4096 };

typedef struct board {
    _Atomic int64_t floors[KEYS];  // the number of the last write that the daemon acknowledged
    _Atomic uint64_t hits, region_hits, requests, failures, private_hits, acknowledged;
} board;

static board *common;
static int64_t until_ns;

static int64_t now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (int64_t)at.tv_sec * 1000000000 + at.tv_nsec;
}

static __attribute__((noreturn)) void accuse(const char *what, int key, int64_t number,
                                             int64_t expected) {
    fprintf(stderr, "key %d: %s: %" PRId64 ", expected %" PRId64 "\n", key, what, number,
            expected);
    _exit(1);
}

static uint64_t sum_of(const char *bytes, size_t len) {
    uint64_t sum = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < len; i++) {
        sum = (sum ^ (unsigned char)bytes[i]) * UINT64_C(1099511628211);
    }
    return sum;
}

// "key:number:filling:sum"
static fb_str make_value(char bytes[VALUE_MAX], int key, int64_t number) {
    int len = snprintf(bytes, VALUE_MAX, "%d:%" PRId64 ":", key, number);
    int filling = (int)((uint64_t)number * 2654435761U % 3000);
    memset(bytes + len, 'a' + (int)(number % 26), (size_t)filling);
    len += filling;
    len += snprintf(bytes + len, (size_t)(VALUE_MAX - len), ":%016" PRIx64,
                    sum_of(bytes, (size_t)len));
    return (fb_str){bytes, (size_t)len};
}

static int64_t check_value(fb_str value, int key) {
    char text[64] = "";
    int key_is = -1;
    int64_t number = -1;
    memcpy(text, value.ptr, value.len < sizeof text - 1 ? value.len : sizeof text - 1);
    if (sscanf(text, "%d:%" SCNd64 ":", &key_is, &number) != 2 || key_is != key) {
        accuse("not its value", key, key_is, key);
    }
    char whole[VALUE_MAX];
    fb_str expected = make_value(whole, key, number);
    if (expected.len != value.len || memcmp(expected.ptr, value.ptr, value.len) != 0) {
        accuse("not whole", key, (int64_t)value.len, (int64_t)expected.len);
    }
    return number;
}

// The number of the value, or -1.
static int64_t read_key(fb_client *client, int key) {
    char name[32], bytes[VALUE_MAX];
    fb_value value;
    int64_t number = -1;
    fb_error error;
    fb_str text = {name, (size_t)snprintf(name, sizeof name, "crew:%d", key)};
    int result = fb_client_peek(client, text, bytes, sizeof bytes, &value);
    if (result == FB_MISS) {
        result = fb_client_get(client, text, &value, &error);
    }
    if (result == FB_OK) {
        number = check_value(value.data, key);
        fb_value_release(&value);
        atomic_fetch_add(&common->hits, 1);
    } else if (result != FB_MISS) {
        accuse(error.text, key, result, FB_MISS);
    }
    return number;
}

static bool daemon_there(fb_client *client) {
    fb_client_figures figures;
    fb_client_figures_read(client, &figures);
    return figures.daemon_there;
}

static void write_key(fb_client *client, int key, int64_t number, bool del) {
    char name[32], bytes[VALUE_MAX];
    fb_error error;
    fb_str text = {name, (size_t)snprintf(name, sizeof name, "crew:%d", key)};
    int result = del ? fb_client_del(client, text, &error)
                     : fb_client_set(client, text, make_value(bytes, key, number), 0, &error);
    if (result < 0) {
        accuse(error.text, key, result, FB_OK);
    }
    if (daemon_there(client)) {
        atomic_store(&common->floors[key], number);
        atomic_fetch_add(&common->acknowledged, 1);
    }
}

static uint64_t next_turn(uint64_t turn) {
    return turn * UINT64_C(6364136223846793005) + 1;
}

static void be_writer(fb_client *client, int writer) {
    int64_t last[KEYS_EACH], number = 1;
    memset(last, 0xff, sizeof last);
    for (uint64_t turn = (uint64_t)writer; now() < until_ns; turn = next_turn(turn)) {
        int own = (int)(turn >> 33) % KEYS_EACH;
        int key = writer * KEYS_EACH + own;
        uint64_t what = turn >> 60;
        if (what < 8) {
            int64_t is = read_key(client, key);
            if (is != -1 && is != last[own]) {
                accuse("not what this process wrote last", key, is, last[own]);
            }
        } else {
            bool del = what < 11;
            write_key(client, key, ++number, del);
            last[own] = del ? -1 : number;
        }
    }
}

static void be_reader(fb_client *client, int reader) {
    for (uint64_t turn = (uint64_t)reader; now() < until_ns; turn = next_turn(turn)) {
        int key = (int)(turn >> 33) % KEYS;
        int64_t least = atomic_load(&common->floors[key]);
        int64_t is = read_key(client, key);
        if (is != -1 && is < least) {
            accuse("older than what was acknowledged", key, is, least);
        }
    }
}

static void ignore(void *arg, const char *event, const char *text) {
    (void)arg, (void)event, (void)text;
}

static void be_child(fb_client *client, int number) {
    if (number < WRITERS) {
        be_writer(client, number);
    } else {
        be_reader(client, number - WRITERS);
    }
    fb_client_figures figures;
    fb_client_figures_read(client, &figures);
    atomic_fetch_add(&common->region_hits, figures.region_hits);
    atomic_fetch_add(&common->requests, figures.requests);
    atomic_fetch_add(&common->failures, figures.failures);
    atomic_fetch_add(&common->private_hits, figures.private_hits);
    fb_client_close(client);
}

int main(int arg_count, char **args) {
    if (arg_count != 3) {
        return 2;
    }
    common = mmap(NULL, sizeof *common, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    // A daemon that is killed hangs up; one that only gets no turn is none that went away.
    fb_client_options options = {.url = {args[1], strlen(args[1])}, .timeout_ms = 60000,
                                 .retry_ms = 5, .warn = ignore};
    fb_client *client;
    fb_error error;
    // Opened and used before the forks, as by a server that forks its workers.
    if (common == MAP_FAILED || fb_client_open(&options, &client, &error) < 0) {
        return 2;
    }
    (void)read_key(client, 0);
    until_ns = now() + strtoll(args[2], NULL, 10) * 1000000;
    pid_t children[WRITERS + READERS];
    for (int i = 0; i < WRITERS + READERS; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            be_child(client, i);
            _exit(0);
        }
    }
    int bad = 0;
    for (int i = 0; i < WRITERS + READERS; i++) {
        int status = 0;
        bad += waitpid(children[i], &status, 0) != children[i] || status != 0;
    }
    fb_client_close(client);
    printf("hits=%" PRIu64 " region_hits=%" PRIu64 " requests=%" PRIu64 " failures=%" PRIu64
           " private_hits=%" PRIu64 " acknowledged=%" PRIu64 "\n",
           common->hits, common->region_hits, common->requests, common->failures,
           common->private_hits, common->acknowledged);
    return bad > 0;
}
