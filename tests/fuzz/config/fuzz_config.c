// Configurations: whatever the text, reading ends, says what is wrong within the text's bounds, and
// what it took comes back from walk and goes through set unchanged.

#include <forebay/config.h>

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/str.h"
#include "config/settings.h"

typedef struct copying {
    fb_config *to;
    size_t count;
} copying;

static void copy_option(void *arg, fb_str path, fb_str value, fb_str default_value,
                        const char *unit, bool reloadable, const char *help) {
    copying *c = arg;
    fb_error error;

    (void)default_value, (void)unit, (void)reloadable, (void)help;
    if (value.ptr != NULL) {
        FB_ASSERT(fb_config_set(c->to, path, value, &error) == FB_OK);
    }
    c->count++;
}

static void compare_option(void *arg, fb_str path, fb_str value, fb_str default_value,
                           const char *unit, bool reloadable, const char *help) {
    const fb_config *other = arg;
    size_t size = value.len + 2;
    char *text = malloc(size);

    (void)default_value, (void)unit, (void)reloadable, (void)help;
    FB_ASSERT(text != NULL && fb_config_get(other, path, text, size) == FB_OK);
    FB_ASSERT(fb_str_equal(fb_str_of(text), value));
    free(text);
}

static void check_round_trip(const fb_config *config) {
    copying c = {0};

    FB_ASSERT(fb_config_new(&c.to) == FB_OK);
    FB_ASSERT(fb_config_walk(config, copy_option, &c) == FB_OK);
    FB_ASSERT(fb_config_walk(config, compare_option, c.to) == FB_OK);
    fb_config_free(c.to);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fb_str text = {(const char *)data, size};
    fb_config *config = NULL;
    fb_error error = {0};

    FB_ASSERT(fb_config_new(&config) == FB_OK);
    int result = fb_config_read(config, text, "dir/fuzz.yaml", &error);
    if (result != FB_OK) {
        FB_ASSERT(error.code == result && error.text[0] != '\0');
        FB_ASSERT(error.line <= size + 1 && error.column <= size + 1);
        FB_ASSERT(fb_config_settings(config)->class_count == 0);
    } else {
        const fb_settings *settings = fb_config_settings(config);
        result = fb_config_check(config, &error);
        FB_ASSERT(result == FB_OK || error.text[0] != '\0');
        // Each option set copies the whole: a few classes show as much as many.
        if (settings->class_count + settings->source_count + settings->limit_count <= 12) {
            check_round_trip(config);
        }
        // The text once more, over itself, changes nothing.
        FB_ASSERT(fb_config_read(config, text, "dir/fuzz.yaml", &error) == FB_OK);
    }
    fb_config_free(config);
    return 0;
}
