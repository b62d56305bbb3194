// By dlopen(), and never closed: what it started may hold memory and locks until the process ends.
// The name is that of its binary interface, which has not changed since 2006.

#include "os/curl.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>

#include "base/error.h"

static const char LIBRARY[] = "libcurl.so.4";

static const struct {
    const char *name;
    size_t at;  // its pointer, in fb_curl
} CALLS[] = {
    {"curl_global_init", offsetof(fb_curl, global_init)},
    {"curl_easy_init", offsetof(fb_curl, easy_init)},
    {"curl_easy_setopt", offsetof(fb_curl, easy_setopt)},
    {"curl_easy_perform", offsetof(fb_curl, easy_perform)},
    {"curl_easy_getinfo", offsetof(fb_curl, easy_getinfo)},
    {"curl_easy_reset", offsetof(fb_curl, easy_reset)},
    {"curl_easy_cleanup", offsetof(fb_curl, easy_cleanup)},
    {"curl_easy_strerror", offsetof(fb_curl, easy_strerror)},
    {"curl_slist_append", offsetof(fb_curl, slist_append)},
    {"curl_slist_free_all", offsetof(fb_curl, slist_free_all)},
    {"curl_url", offsetof(fb_curl, url)},
    {"curl_url_cleanup", offsetof(fb_curl, url_cleanup)},
    {"curl_url_get", offsetof(fb_curl, url_get)},
    {"curl_url_set", offsetof(fb_curl, url_set)},
    {"curl_url_strerror", offsetof(fb_curl, url_strerror)},
    {"curl_free", offsetof(fb_curl, free)},
};
_Static_assert(sizeof CALLS / sizeof CALLS[0] * sizeof(void *) == sizeof(fb_curl), "all of them");

fb_curl fb_curl_calls;

static int outcome;
static fb_error trouble;

static int find_all(void) {
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    const char *why = library == NULL ? dlerror() : NULL;
    for (size_t i = 0; why == NULL && i < sizeof CALLS / sizeof CALLS[0]; i++) {
        void *call = dlsym(library, CALLS[i].name);
        why = call == NULL ? dlerror() : NULL;
        // POSIX promises that this is how a function comes out of a void *.
        memcpy((char *)&fb_curl_calls + CALLS[i].at, &call, sizeof call);
    }
    return why == NULL ? FB_OK : fb_error_set(&trouble, FB_EIO, "cannot load libcurl: %s", why);
}

static void load(void) {
    outcome = find_all();
    if (outcome == FB_OK) {
        CURLcode code = fb_curl_calls.global_init(CURL_GLOBAL_DEFAULT);
        if (code != CURLE_OK) {
            outcome = fb_error_set(&trouble, FB_EIO, "cannot start libcurl: %s",
                                   curl_easy_strerror(code));
        }
    }
}

int fb_curl_load(fb_error *error) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, load);
    return outcome == FB_OK ? FB_OK : fb_error_set(error, outcome, "%s", trouble.text);
}
