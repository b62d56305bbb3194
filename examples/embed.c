// The whole of forebay inside a program of your own: a class with a loader, a deduplicated call, an
// object that is loaded once, and the figures at the end.
//
//     cc embed.c $(pkg-config --cflags --libs forebay) -o embed && ./embed
//
// It prints:
//
//     {"email": "ada@example.org", "load": 1} from the loader
//     {"email": "ada@example.org", "load": 1} from memory
//     {"email": "ada@example.org", "load": 2} from the loader
//     loading the model embedder
//     a model that took seven seconds
//     1 hits, 2 misses, 2 loads

#include <forebay/forebay.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Stands for whatever is slow: a query, a remote call, a computation.
static int load_user(void *arg, const fb_load *load, fb_loaded *loaded) {
    int *asked = arg;
    char json[128];
    (*asked)++;
    if (load->params[0].value.len == 0) {
        return FB_NEGATIVE;
    }
    int len = snprintf(json, sizeof json, "{\"email\": \"%.*s\", \"load\": %d}",
                       (int)load->params[0].value.len, load->params[0].value.ptr, *asked);
    return fb_loaded_value(loaded, (fb_str){json, (size_t)len});
}

static int make_model(void *arg, fb_str name, void **object) {
    static const char model[] = "a model that took seven seconds";
    (void)arg;
    printf("loading the model %.*s\n", (int)name.len, name.ptr);
    *object = malloc(sizeof model);
    if (*object == NULL) {
        return FB_ENOMEM;
    }
    memcpy(*object, model, sizeof model);
    return FB_OK;
}

static void stop(const char *what, const fb_error *error) {
    fprintf(stderr, "%s: %s\n", what, error->text);
    exit(1);
}

static void show(fb_engine *engine, const fb_request *request) {
    fb_value user;
    fb_error error;
    int result = fb_fetch(engine, request, &user, &error);
    if (result < 0) {
        stop("fetch", &error);
    } else if (result == FB_NEGATIVE) {
        puts("no such user");
    } else {
        printf("%.*s from %s\n", (int)user.data.len, user.data.ptr,
               user.tier == FB_TIER_MEMORY ? "memory" : "the loader");
    }
    fb_value_release(&user);
}

int main(void) {
    fb_config *config = NULL;
    fb_engine *engine = NULL;
    fb_error error;
    static const char text[] =
        "memory: 16MiB\n"
        "classes:\n"
        "  user: {key: 'user_by_email:{email}', normalise: [trim, casefold], ttl: 30m}\n";
    if (fb_config_new(&config) < 0) {
        return 1;
    }
    if (fb_config_read(config, (fb_str){text, sizeof text - 1}, "embed", &error) < 0 ||
        fb_open(config, &engine, &error) < 0) {
        stop("open", &error);
    }

    // Read-through: asked for twice (spelt differently), loaded once.
    int asked = 0;
    fb_param email = {FB_STR("email"), FB_STR("Ada@Example.org")};
    fb_request request = {.class_name = FB_STR("user"), .params = &email, .param_count = 1,
                          .loader = load_user, .loader_arg = &asked};
    show(engine, &request);
    email.value = FB_STR("  ada@example.org ");
    show(engine, &request);

    // The user changed: forget what was loaded.
    fb_invalidation changed = {.scope = FB_SCOPE_KEY, .name = FB_STR("user_by_email:ada@example.org")};
    if (fb_invalidate(engine, &changed, NULL) < 0) {
        return 1;
    }
    show(engine, &request);

    // A heavy object, made once however many threads ask for it.
    fb_registry *registry = NULL;
    void *model = NULL;
    if (fb_registry_new(&registry) < 0 ||
        fb_registry_get(registry, FB_STR("embedder"), make_model, NULL, free, &model) < 0 ||
        fb_registry_get(registry, FB_STR("embedder"), make_model, NULL, free, &model) < 0) {
        return 1;
    }
    printf("%s\n", (char *)model);

    fb_stats stats;
    if (fb_stats_read(engine, &stats) == FB_OK) {
        printf("%llu hits, %llu misses, %llu loads\n", (unsigned long long)stats.all.hits,
               (unsigned long long)stats.all.misses, (unsigned long long)stats.all.loads);
        fb_stats_release(&stats);
    }
    fb_registry_free(registry);
    fb_close(engine, 1000);
    fb_config_free(config);
    return 0;
}
