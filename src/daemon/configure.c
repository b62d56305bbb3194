// Gathering the configuration. Each step says itself what is wrong with it; here is only the order.

#include "daemon/configure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/str.h"
#include "os/file.h"

static const size_t FILE_MAX = 16 << 20;
static const char *const DEFAULT_FILE = "forebay.yaml";

static int read_file(const char *path, fb_config *config, fb_error *error) {
    fb_buf text = {0};
    int result = fb_file_read(path, FILE_MAX, &text, error);
    if (result == FB_MISS) {
        result = FB_EIO;  // it was named, so it has to be there
    }
    if (result == FB_OK) {
        result = fb_config_read(config, fb_buf_str(&text), path, error);
    }
    fb_buf_release(&text);
    return result;
}

// .env lies beside the configuration, or in the working folder where there is none. FB_MISS:
// nowhere.
static int load_dotenv(const char *config_path, char path[FB_CONFIGURE_PATH_SIZE], char ***list,
                       fb_error *error) {
    const char *slash = strrchr(config_path, '/');
    int folder_len = slash != NULL ? (int)(slash - config_path) + 1 : 0;
    int len = snprintf(path, FB_CONFIGURE_PATH_SIZE, "%.*s.env", folder_len, config_path);
    if (len < 0 || len >= FB_CONFIGURE_PATH_SIZE) {
        return FB_MISS;
    }
    fb_buf text = {0};
    int result = fb_file_read(path, FILE_MAX, &text, error);
    if (result == FB_OK) {
        result = fb_config_parse_dotenv(fb_buf_str(&text), path, list, error);
    }
    fb_buf_release(&text);
    return result;
}

static int read_dotenv(const char *config_path, fb_config *config, fb_error *error) {
    char path[FB_CONFIGURE_PATH_SIZE];
    char **list = NULL;
    int result = load_dotenv(config_path, path, &list, error);
    if (result == FB_OK) {
        result = fb_config_environment(config, (const char *const *)list, error);
        if (result < 0) {  // it names the variable, and this where that is
            fb_error_place(error, path, 0, 0);
        }
    }
    fb_config_free_dotenv(list);
    return result == FB_MISS ? FB_OK : result;
}

static int apply_settings(const fb_configure *how, fb_config *config, fb_error *error) {
    for (size_t i = 0; i < how->setting_count; i++) {
        fb_str setting = fb_str_of(how->settings[i]);
        size_t equals = fb_str_find(setting, '=');
        if (equals == setting.len) {
            return fb_error_set(error, FB_EINVAL, "--set %s: expected option=value",
                                how->settings[i]);
        }
        fb_str value = fb_str_make(setting.ptr + equals + 1, setting.len - equals - 1);
        int result = fb_config_set(config, fb_str_make(setting.ptr, equals), value, error);
        if (result < 0) {
            return result;
        }
    }
    return FB_OK;
}

static const char *choose_file(const fb_configure *how) {
    if (how->path != NULL) {
        return how->path;
    }
    const char *named = getenv("FOREBAY_CONFIG");
    if (named != NULL && named[0] != '\0') {
        return named;
    }
    return access(DEFAULT_FILE, F_OK) == 0 ? DEFAULT_FILE : "";
}

int fb_configure_read(const fb_configure *how, fb_config **out, char *used, size_t used_size,
                      fb_error *error) {
    fb_config *config = NULL;
    int result = fb_config_new(&config);
    if (result < 0) {
        return fb_error_set(error, result, "out of memory");
    }
    const char *path = choose_file(how);
    if (path[0] != '\0') {
        result = read_file(path, config, error);
    }
    if (result == FB_OK) {
        result = read_dotenv(path, config, error);
    }
    if (result == FB_OK) {
        result = fb_config_environment(config, (const char *const *)environ, error);
    }
    if (result == FB_OK) {
        result = apply_settings(how, config, error);
    }
    if (result == FB_OK && how->keep_memory) {
        result = fb_config_set(config, FB_STR("region.keep"), FB_STR("true"), error);
    }
    if (result == FB_OK && how->insecure) {
        result = fb_config_set(config, FB_STR("listen.insecure"), FB_STR("true"), error);
    }
    if (result < 0) {
        fb_config_free(config);
        return result;
    }
    if (used != NULL) {
        snprintf(used, used_size, "%s", path);
    }
    *out = config;
    return FB_OK;
}

void fb_configure_show_error(const fb_error *error, char *text, size_t text_size) {
    if (error->file[0] == '\0') {
        snprintf(text, text_size, "%s", error->text);
    } else if (error->line == 0) {
        snprintf(text, text_size, "%s: %s", error->file, error->text);
    } else if (error->column == 0) {
        snprintf(text, text_size, "%s:%u: %s", error->file, error->line, error->text);
    } else {
        snprintf(text, text_size, "%s:%u:%u: %s", error->file, error->line, error->column,
                 error->text);
    }
}
