// .env files: whatever the text, a list of NAME=value comes of it, or a place in the text.

#include <forebay/config.h>

#include <string.h>

#include "base/check.h"
#include "config/values.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fb_str text = {(const char *)data, size};
    char **list = NULL;
    fb_config *config = NULL;
    fb_error error = {0};

    if (fb_config_parse_dotenv(text, ".env", &list, &error) != FB_OK) {
        FB_ASSERT(list == NULL && error.text[0] != '\0');
        FB_ASSERT(error.line >= 1 && error.line <= size + 1 && error.column <= size + 1);
        return 0;
    }
    for (char **item = list; *item != NULL; item++) {
        const char *end = strchr(*item, '=');
        FB_ASSERT(end != NULL);
        for (const char *at = *item; at < end; at++) {
            FB_ASSERT(fb_value_is_name((fb_str){at, 1}));
        }
    }
    // The same bytes as an environment: refused or applied, never more.
    FB_ASSERT(fb_config_new(&config) == FB_OK);
    int result = fb_config_environment(config, (const char *const *)list, &error);
    FB_ASSERT(result == FB_OK || error.text[0] != '\0');
    fb_config_free(config);
    fb_config_free_dotenv(list);
    return 0;
}
