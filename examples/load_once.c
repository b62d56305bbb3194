// Load-once: heavy objects, a model or an index, that a process wants to have once. The first
// thread that asks for one makes it; whoever asks meanwhile waits for that one, and gets the same
// pointer. No engine is needed for it.
//
//     cc load_once.c $(pkg-config --cflags --libs forebay) -o load_once && ./load_once
//
// It prints:
//
//     loading the model small
//     4 threads have 1 model
//     loading the model broken
//     broken: input or output failed
//     dropping the model small
//     loading the model small
//     dropping the model small

#include <forebay/registry.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 4 };

typedef struct model {
    char name[32];
} model;

static bool is(fb_str name, const char *text) {
    return name.len == strlen(text) && memcmp(name.ptr, text, name.len) == 0;
}

// A failure is told to all who wait for the object; the next who asks tries again.
static int load_model(void *arg, fb_str name, void **object) {
    (void)arg;
    printf("loading the model %.*s\n", (int)name.len, name.ptr);
    if (is(name, "broken")) {
        return FB_EIO;
    }
    model *one = calloc(1, sizeof *one);
    if (one == NULL) {
        return FB_ENOMEM;
    }
    snprintf(one->name, sizeof one->name, "%.*s", (int)name.len, name.ptr);
    *object = one;
    return FB_OK;
}

static void drop_model(void *object) {
    printf("dropping the model %s\n", ((model *)object)->name);
    free(object);
}

static int get_model(fb_registry *models, fb_str name, void **object) {
    return fb_registry_get(models, name, load_model, NULL, drop_model, object);
}

typedef struct user {
    pthread_t thread;
    fb_registry *models;
    void *model;
} user;

static void *use_model(void *arg) {
    user *one = arg;
    if (get_model(one->models, FB_STR("small"), &one->model) < 0) {
        exit(1);
    }
    return NULL;
}

int main(void) {
    fb_registry *models = NULL;
    user users[THREADS];
    void *object = NULL;
    int others = 0;
    if (fb_registry_new(&models) < 0) {
        return 1;
    }
    for (int i = 0; i < THREADS; i++) {
        users[i] = (user){.models = models};
        if (pthread_create(&users[i].thread, NULL, use_model, &users[i]) != 0) {
            return 1;
        }
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(users[i].thread, NULL);
        others += users[i].model != users[0].model;
    }
    printf("%d threads have %d model%s\n", THREADS, 1 + others, others > 0 ? "s" : "");
    printf("broken: %s\n", fb_result_text(get_model(models, FB_STR("broken"), &object)));

    // A new version came: the old one goes (nobody may use it any more), the next who asks loads
    // it.
    if (fb_registry_forget(models, FB_STR("small")) < 0 ||
        get_model(models, FB_STR("small"), &object) < 0) {
        return 1;
    }
    fb_registry_free(models);
    return 0;
}
