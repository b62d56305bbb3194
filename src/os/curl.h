// os/curl.h -- libcurl, loaded when it is first needed.
//
// libcurl and what it brings along (a second TLS library, Kerberos, LDAP, SSH) take 4 MiB of every
// process that is linked with them, be it that nothing is ever sent. So nothing of ours is linked
// with it: its functions are pointers, which fb_curl_load() sets, and have libcurl's own names.

#ifndef FB_OS_CURL_H
#define FB_OS_CURL_H

#include <forebay/base.h>

#define CURL_DISABLE_TYPECHECK  // it would call them as functions
#include <curl/curl.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_curl {
    __typeof__(&curl_global_init) global_init;
    __typeof__(&curl_easy_init) easy_init;
    __typeof__(&curl_easy_setopt) easy_setopt;
    __typeof__(&curl_easy_perform) easy_perform;
    __typeof__(&curl_easy_getinfo) easy_getinfo;
    __typeof__(&curl_easy_reset) easy_reset;
    __typeof__(&curl_easy_cleanup) easy_cleanup;
    __typeof__(&curl_easy_strerror) easy_strerror;
    __typeof__(&curl_slist_append) slist_append;
    __typeof__(&curl_slist_free_all) slist_free_all;
    __typeof__(&curl_url) url;
    __typeof__(&curl_url_cleanup) url_cleanup;
    __typeof__(&curl_url_get) url_get;
    __typeof__(&curl_url_set) url_set;
    __typeof__(&curl_url_strerror) url_strerror;
    __typeof__(&curl_free) free;
} fb_curl;

// Set once.
extern fb_curl fb_curl_calls;

// Loads and starts it, the first time; by any thread, before it calls any of them. FB_EIO: it is
// not to be had, and will not be.
FB_CHECK_RESULT int fb_curl_load(fb_error *error);

#undef curl_easy_setopt
#undef curl_easy_getinfo
#define curl_easy_init fb_curl_calls.easy_init
#define curl_easy_setopt fb_curl_calls.easy_setopt
#define curl_easy_perform fb_curl_calls.easy_perform
#define curl_easy_getinfo fb_curl_calls.easy_getinfo
#define curl_easy_reset fb_curl_calls.easy_reset
#define curl_easy_cleanup fb_curl_calls.easy_cleanup
#define curl_easy_strerror fb_curl_calls.easy_strerror
#define curl_slist_append fb_curl_calls.slist_append
#define curl_slist_free_all fb_curl_calls.slist_free_all
#define curl_url fb_curl_calls.url
#define curl_url_cleanup fb_curl_calls.url_cleanup
#define curl_url_get fb_curl_calls.url_get
#define curl_url_set fb_curl_calls.url_set
#define curl_url_strerror fb_curl_calls.url_strerror
#define curl_free fb_curl_calls.free

#ifdef __cplusplus
}
#endif

#endif
