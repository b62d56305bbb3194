// The public calls.
//
// Every change is made to a copy of the whole, which takes the place of the original when all of it
// is done: so after an error the configuration is as it was, whatever went wrong and wherever. A
// configuration is small and changes are few; nothing cleverer has been worth it.

#include "config/settings.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/environment.h"
#include "config/read.h"
#include "config/state.h"
#include "config/tree.h"
#include "config/values.h"
#include "config/yaml.h"

#include <string.h>

static void swap(fb_config *a, fb_config *b) {
    fb_config held = *a;

    *a = *b;
    *b = held;
}

// ---- new, copy, free

int fb_config_new(fb_config **config) {
    *config = fb_mem_zero(1, sizeof(**config));
    if (*config == NULL) {
        return FB_ENOMEM;
    }
    int result = fb_value_defaults(fb_settings_table, &(*config)->settings);
    if (result == FB_OK) {
        result = fb_settings_add_builtins(*config);
    }
    if (result != FB_OK) {
        fb_config_free(*config);
        *config = NULL;
    }
    return result;
}

void fb_config_free(fb_config *config) {
    if (config == NULL) {
        return;
    }
    fb_option_release(fb_settings_table, &config->settings);
    fb_option_marks_release(&config->marks);
    fb_mem_free(config);
}

int fb_config_copy(const fb_config *config, fb_config **copy) {
    *copy = fb_mem_zero(1, sizeof(**copy));
    if (*copy == NULL) {
        return FB_ENOMEM;
    }
    int result = fb_option_copy(fb_settings_table, sizeof(config->settings), &config->settings,
                                &(*copy)->settings);
    if (result == FB_OK) {
        result = fb_option_marks_copy(&config->marks, &(*copy)->marks);
    }
    if (result != FB_OK) {
        fb_config_free(*copy);
        *copy = NULL;
    }
    return result;
}

const fb_settings *fb_config_settings(const fb_config *config) {
    return &config->settings;
}

// ---- changes

// Begins a change: the reading fills a copy.
static int begin(const fb_config *config, fb_arena *arena, fb_reading *reading) {
    reading->arena = arena;
    if (fb_config_copy(config, &reading->config) != FB_OK) {
        return fb_error_set(reading->error, FB_ENOMEM, "out of memory");
    }
    return FB_OK;
}

// Ends it: what was filled is in force where all went well.
static void end(fb_config *config, fb_reading *reading, int result) {
    if (result == FB_OK) {
        fb_settings_finish(reading->config);
        swap(config, reading->config);
    }
    fb_config_free(reading->config);
    fb_arena_release(reading->arena);
}

int fb_config_read(fb_config *config, fb_str text, const char *file_name, fb_error *error) {
    // Places are told apart from no places by the file they are in.
    fb_reading reading = {.file = file_name != NULL ? file_name : "", .error = error};
    const fb_node *root = NULL;
    fb_arena arena = {0};

    int result = begin(config, &arena, &reading);
    if (result == FB_OK) {
        result = fb_yaml_parse(text, &arena, &root, error);
        if (result != FB_OK && error != NULL) {
            fb_error_place(error, reading.file, error->line, error->column);
        }
    }
    if (result == FB_OK) {
        result = fb_read_node(&reading, root);
    }
    end(config, &reading, result);
    return result;
}

int fb_config_set(fb_config *config, fb_str path, fb_str value, fb_error *error) {
    fb_reading reading = {.error = error};
    fb_arena arena = {0};

    int result = begin(config, &arena, &reading);
    if (result == FB_OK) {
        result = fb_read_path(&reading, path, value);
    }
    end(config, &reading, result);
    return result;
}

int fb_config_environment(fb_config *config, const char *const *environment, fb_error *error) {
    fb_reading reading = {.error = error};
    fb_arena arena = {0};

    int result = begin(config, &arena, &reading);
    if (result == FB_OK) {
        result = fb_environment_read_usual(&reading, environment);
    }
    for (; result == FB_OK && *environment != NULL; environment++) {
        result = fb_environment_read(&reading, fb_str_of(*environment));
    }
    end(config, &reading, result);
    return result;
}

int fb_config_check(const fb_config *config, fb_error *error) {
    return fb_settings_check(config, error);
}

// ---- looking

int fb_config_secret(const fb_config *config, fb_str path, const char **secret) {
    const fb_option *row = NULL;
    const void *holder = NULL;

    int result = fb_tree_find(fb_settings_table, &config->settings, path, &row, &holder);
    if (result != FB_OK || row->secret == FB_OPTION_OPEN || row->type != FB_OPTION_TEXT) {
        return FB_MISS;
    }
    const char *text = *(char *const *)(const void *)((const char *)holder + row->offset);
    *secret = text != NULL ? text : "";
    return FB_OK;
}

int fb_config_get(const fb_config *config, fb_str path, char *text, size_t text_size) {
    const fb_option *row = NULL;
    const void *holder = NULL;
    fb_buf shown = {0};

    int result = fb_tree_find(fb_settings_table, &config->settings, path, &row, &holder);
    if (result != FB_OK) {
        return result;
    }
    result = fb_value_show_open(row, holder, &shown);
    if (result == FB_MISS) {
        result = FB_OK;
    }
    if (result == FB_OK && shown.len >= text_size) {
        result = FB_ETOOBIG;
    }
    if (result == FB_OK) {
        if (shown.len > 0) {
            memcpy(text, shown.ptr, shown.len);
        }
        text[shown.len] = '\0';
    }
    fb_buf_release(&shown);
    return result;
}

typedef struct telling {
    fb_config_fn fn;
    void *arg;
    fb_buf value;
} telling;

static int tell(void *arg, const fb_path *path, const fb_option *row, const void *holder) {
    telling *t = arg;
    fb_str value = {NULL, 0};
    char unit[FB_VALUE_EXPECTED_SIZE];

    t->value.len = 0;
    int result = fb_buf_reserve(&t->value, 1);
    if (result == FB_OK) {
        result = fb_value_show_open(row, holder, &t->value);
    }
    if (result < 0) {
        return result;
    }
    if (result == FB_OK) {
        value = fb_buf_str(&t->value);
    }
    t->fn(t->arg, fb_path_str(path), value, fb_str_of(row->default_text), fb_value_unit(row, unit),
          row->reloadable, row->help);
    return FB_OK;
}

int fb_config_walk(const fb_config *config, fb_config_fn fn, void *arg) {
    telling t = {.fn = fn, .arg = arg};

    int result = fb_tree_walk(fb_settings_table, &config->settings, tell, &t);
    fb_buf_release(&t.value);
    return result;
}
