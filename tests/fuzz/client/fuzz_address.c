// Any text as an address: what is read fits, and what is told of a mistake has no password in it.

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/str.h"
#include "client/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool hides_login(const char *told) {
    static const char *const starts[] = {"'***", "'redis://***", "'rediss://***", "'forebay://***",
                                         "'forebays://***"};
    bool hides = false;
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        hides = hides || strncmp(told, starts[i], strlen(starts[i])) == 0;
    }
    return hides;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fb_str text = {(const char *)data, size};
    fb_address address;
    fb_error error = {0};
    int result = fb_address_read(text, &address, &error);
    if (result == FB_OK) {
        FB_ASSERT((address.path[0] == '\0') == (address.host[0] != '\0'));
        FB_ASSERT(strlen(address.name) > strlen(address.host));
        FB_ASSERT(strlen(address.user) < sizeof address.user);
        FB_ASSERT(strlen(address.password) < sizeof address.password);
    } else {
        // Where there is a login, no more of it than the scheme is said back.
        FB_ASSERT(result == FB_EINVAL && error.text[0] == '\'');
        bool login = fb_str_find(text, '@') < size && memchr(data, '\0', size) == NULL;
        FB_ASSERT(!login || hides_login(error.text));
    }
    return 0;
}
