// Read-through with a callback: a class says how long answers hold, and a function of the program
// says where they come from. forebay calls it for what it does not have, once however many ask.
//
//     cc read_through.c $(pkg-config --cflags --libs forebay) -o read_through && ./read_through
//
// It prints:
//
//     Berlin: {"degrees": 21} (asked the weather service)
//     berlin: {"degrees": 21} (memory)
//     Atlantis: there is no such place (asked the weather service)
//     Atlantis: there is no such place (memory)
//     Oslo: the weather service says 503 (asked the weather service)
//     Berlin, after all of Europe changed: {"degrees": 22} (asked the weather service)

#include <forebay/forebay.h>

#include <stdio.h>
#include <string.h>

// Keys are made of the parameters; "Berlin" and "berlin" are one. What is not there is remembered,
// too.
static const char classes[] =
    "memory: 16MiB\n"
    "classes:\n"
    "  weather:\n"
    "    {key: 'weather:{place}', normalise: [trim, casefold], ttl: 10m, negative_ttl: 1m}\n";

typedef struct service {
    int degrees;
    bool asked;
} service;

static bool is_place(const fb_load *load, const char *name) {
    fb_str place = load->params[0].value;
    return place.len == strlen(name) && memcmp(place.ptr, name, place.len) == 0;
}

// The loader. It runs on a thread of the engine's and may block. What it hands over is copied.
static int load_weather(void *arg, const fb_load *load, fb_loaded *loaded) {
    service *weather = arg;
    char json[64];
    weather->asked = true;
    if (is_place(load, "atlantis")) {
        return FB_NEGATIVE;
    }
    if (is_place(load, "oslo")) {
        fb_loaded_error(loaded, FB_STR("the weather service says 503"));
        return FB_EIO;
    }
    int len = snprintf(json, sizeof json, "{\"degrees\": %d}", weather->degrees);
    int result = fb_loaded_tag(loaded, FB_STR("europe"));
    return result < 0 ? result : fb_loaded_value(loaded, (fb_str){json, (size_t)len});
}

static void show(fb_engine *engine, service *weather, const char *place, const char *when) {
    const fb_param param = {FB_STR("place"), {place, strlen(place)}};
    const fb_request request = {.class_name = FB_STR("weather"),
                                .params = &param,
                                .param_count = 1,
                                .loader = load_weather,
                                .loader_arg = weather};
    fb_value value;
    fb_error error;
    weather->asked = false;
    int result = fb_fetch(engine, &request, &value, &error);
    printf("%s%s: ", place, when);
    if (result == FB_OK) {
        printf("%.*s", (int)value.data.len, value.data.ptr);
        fb_value_release(&value);
    } else {
        printf("%s", result == FB_NEGATIVE ? "there is no such place" : error.text);
    }
    printf(" (%s)\n", weather->asked ? "asked the weather service" : "memory");
}

// A change somewhere: everything with that tag is gone, however much it is, in no time.
static int forget(fb_engine *engine, fb_str tag) {
    const fb_invalidation change = {.scope = FB_SCOPE_TAG, .name = tag};
    return fb_invalidate(engine, &change, NULL);
}

int main(void) {
    fb_config *config = NULL;
    fb_engine *engine = NULL;
    fb_error error = {.text = "out of memory"};
    if (fb_config_new(&config) < 0 ||
        fb_config_read(config, (fb_str){classes, sizeof classes - 1}, NULL, &error) < 0 ||
        fb_open(config, &engine, &error) < 0) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    service weather = {.degrees = 21};
    show(engine, &weather, "Berlin", "");
    show(engine, &weather, "berlin", "");
    show(engine, &weather, "Atlantis", "");
    show(engine, &weather, "Atlantis", "");
    show(engine, &weather, "Oslo", "");
    weather.degrees = 22;
    if (forget(engine, FB_STR("europe")) == FB_OK) {
        show(engine, &weather, "Berlin", ", after all of Europe changed");
    }
    fb_close(engine, 1000);
    fb_config_free(config);
    return 0;
}
