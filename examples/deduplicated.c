// A deduplicated call: the same expensive work, asked for by many at once (a button that is pressed
// twice, a webhook that is delivered again), is done once. All get its outcome, and so does who
// asks within a window after it.
//
//     cc deduplicated.c $(pkg-config --cflags --libs forebay) -o deduplicated && ./deduplicated
//
// It prints:
//
//     6 pressed the button: 6 got "report 7, run 1"
//     a moment later: "report 7, run 1"
//     for another report: "report 8, run 2"
//     after fb_invalidate(): "report 7, run 3"

#include <forebay/forebay.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PEOPLE = 6, WINDOW_MS = 600000 };

static atomic_int runs;

// The work. load->key is "dedupe:" and the key that was asked for.
static int make_report(void *arg, const fb_load *load, fb_loaded *loaded) {
    char text[64];
    (void)arg;
    int len = snprintf(text, sizeof text, "report %.*s, run %d", 1,
                       load->key.ptr + load->key.len - 1, atomic_fetch_add(&runs, 1) + 1);
    return fb_loaded_value(loaded, (fb_str){text, (size_t)len});
}

static void ask(fb_engine *engine, fb_str report, char text[64]) {
    const fb_once once = {.key = report, .window_ms = WINDOW_MS, .loader = make_report};
    fb_value value;
    fb_error error;
    if (fb_dedupe(engine, &once, &value, &error) != FB_OK) {
        fprintf(stderr, "%s\n", error.text);
        exit(1);
    }
    snprintf(text, 64, "%.*s", (int)value.data.len, value.data.ptr);
    fb_value_release(&value);
}

typedef struct person {
    pthread_t thread;
    fb_engine *engine;
    char report[64];
} person;

static void *press(void *arg) {
    person *one = arg;
    ask(one->engine, FB_STR("report:7"), one->report);
    return NULL;
}

int main(void) {
    fb_config *config = NULL;
    fb_engine *engine = NULL;
    fb_error error = {.text = "out of memory"};
    person people[PEOPLE];
    char text[64];
    int same = 0;
    if (fb_config_new(&config) < 0 || fb_open(config, &engine, &error) < 0) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    for (int i = 0; i < PEOPLE; i++) {
        people[i].engine = engine;
        if (pthread_create(&people[i].thread, NULL, press, &people[i]) != 0) {
            return 1;
        }
    }
    for (int i = 0; i < PEOPLE; i++) {
        pthread_join(people[i].thread, NULL);
        same += strcmp(people[i].report, people[0].report) == 0;
    }
    printf("%d pressed the button: %d got \"%s\"\n", PEOPLE, same, people[0].report);
    ask(engine, FB_STR("report:7"), text);
    printf("a moment later: \"%s\"\n", text);
    ask(engine, FB_STR("report:8"), text);
    printf("for another report: \"%s\"\n", text);

    const fb_invalidation over = {.scope = FB_SCOPE_KEY, .name = FB_STR("dedupe:report:7")};
    if (fb_invalidate(engine, &over, NULL) < 0) {
        return 1;
    }
    ask(engine, FB_STR("report:7"), text);
    printf("after fb_invalidate(): \"%s\"\n", text);
    fb_close(engine, 1000);
    fb_config_free(config);
    return 0;
}
