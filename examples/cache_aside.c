// Cache-aside with leases: the program asks its database itself and keeps what it found under keys
// of its own. Of all who miss a key one gets a lease, and loads; the others wait for what that one
// brings. An invalidation takes the lease away: what was read before a change is never kept after
// it.
//
//     cc cache_aside.c $(pkg-config --cflags --libs forebay) -o cache_aside && ./cache_aside
//
// It prints:
//
//     8 threads read 1999, the database was asked once
//     the price changes while somebody reads it
//     his fill is refused: the lease is gone
//     who reads now gets 2499

#include <forebay/forebay.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { THREADS = 8, LEASE_MS = 10000, TTL_MS = 60000 };

// Stands for the database.
static _Atomic(int64_t) price = 1999;
static atomic_int asked;

static int64_t ask_database(void) {
    atomic_fetch_add(&asked, 1);
    return atomic_load(&price);
}

static fb_str print_number(char text[24], int64_t number) {
    return (fb_str){text, (size_t)snprintf(text, 24, "%lld", (long long)number)};
}

// A value that forebay hands over is bytes without a NUL behind them.
static int64_t read_number(const fb_value *value) {
    char text[24];
    snprintf(text, sizeof text, "%.*s", (int)value->data.len, value->data.ptr);
    return strtoll(text, NULL, 10);
}

// The whole pattern: ask for the value or the lease; load where the lease is ours; and where
// somebody else has it, or an invalidation took it away meanwhile, ask again.
static int read_price(fb_engine *engine, fb_str key, int64_t *found) {
    static const struct timespec moment = {0, 1000000};
    const fb_set_options options = {.ttl_ms = TTL_MS};
    for (;;) {
        uint64_t lease = 0;
        fb_value value;
        char text[24];
        int result = fb_lease_get(engine, key, LEASE_MS, &value, &lease);
        if (result == FB_OK) {
            *found = read_number(&value);
            fb_value_release(&value);
            return FB_OK;
        }
        if (result == FB_MISS) {
            *found = ask_database();
            result = fb_lease_fill(engine, key, lease, print_number(text, *found), &options);
        } else if (result == FB_PENDING) {
            nanosleep(&moment, NULL);
        }
        if (result == FB_OK || result < 0) {
            return result;
        }
    }
}

static void *read_once(void *engine) {
    int64_t found = 0;
    if (read_price(engine, FB_STR("price:42"), &found) < 0 || found != 1999) {
        fprintf(stderr, "read %lld\n", (long long)found);
        exit(1);
    }
    return NULL;
}

static void show_one_load(fb_engine *engine) {
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        if (pthread_create(&threads[i], NULL, read_once, engine) != 0) {
            exit(1);
        }
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    printf("%d threads read 1999, the database was asked %s\n", THREADS,
           atomic_load(&asked) == 1 ? "once" : "more than once");
}

static int show_change(fb_engine *engine, fb_str key) {
    const fb_invalidation change = {.scope = FB_SCOPE_KEY, .name = key};
    uint64_t lease = 0;
    fb_value value;
    char text[24];
    int64_t found = 0;
    int result = fb_invalidate(engine, &change, NULL);
    if (result == FB_OK) {
        result = fb_lease_get(engine, key, LEASE_MS, &value, &lease);  // FB_MISS: ours
    }
    int64_t old = ask_database();
    puts("the price changes while somebody reads it");
    atomic_store(&price, 2499);
    if (result < 0 || fb_invalidate(engine, &change, NULL) < 0) {
        return FB_EIO;
    }
    if (fb_lease_fill(engine, key, lease, print_number(text, old), NULL) == FB_REFUSED) {
        puts("his fill is refused: the lease is gone");
    }
    result = read_price(engine, key, &found);
    printf("who reads now gets %lld\n", (long long)found);
    return result;
}

int main(void) {
    fb_config *config = NULL;
    fb_engine *engine = NULL;
    fb_error error = {.text = "out of memory"};
    if (fb_config_new(&config) < 0 || fb_open(config, &engine, &error) < 0) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    show_one_load(engine);
    int result = show_change(engine, FB_STR("price:42"));
    fb_close(engine, 1000);
    fb_config_free(config);
    return result < 0;
}
