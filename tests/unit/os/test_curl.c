// libcurl comes into a process when it is asked for, and not before.

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "os/curl.h"
#include "support.h"

enum { THREADS = 8 };

static bool is_mapped(const char *name) {
    char line[4352];
    bool found = false;
    FILE *file = fopen("/proc/self/maps", "re");
    assert_non_null(file);
    while (!found && fgets(line, sizeof line, file) != NULL) {
        found = strstr(line, name) != NULL;
    }
    assert_int_equal(fclose(file), 0);
    return found;
}

static void *load(void *arg) {
    fb_error error = {0};
    int *result = arg;
    *result = fb_curl_load(&error);
    if (*result == FB_OK) {
        // Whoever is told that it is there can call it.
        CURL *easy = curl_easy_init();
        *result = easy != NULL && curl_easy_setopt(easy, CURLOPT_URL, "smtp://a") == CURLE_OK
                      ? FB_OK
                      : FB_EIO;
        curl_easy_cleanup(easy);
    }
    return NULL;
}

static void test_curl__is_loaded_when_it_is_asked_for(void **state) {
    (void)state;
    pthread_t threads[THREADS];
    int results[THREADS];
    assert_false(is_mapped("libcurl"));
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, load, &results[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(results[i], FB_OK);
    }
    assert_true(is_mapped("libcurl"));
}

static void test_curl__every_call_is_there(void **state) {
    (void)state;
    fb_error error = {0};
    assert_int_equal(fb_curl_load(&error), FB_OK);
    void *calls[sizeof fb_curl_calls / sizeof(void *)];
    memcpy(calls, &fb_curl_calls, sizeof calls);
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        assert_non_null(calls[i]);
    }
    assert_string_equal(curl_easy_strerror(CURLE_OK), "No error");
    char *host = NULL;
    CURLU *url = curl_url();
    assert_int_equal(curl_url_set(url, CURLUPART_URL, "smtps://mail.test:465", 0), CURLUE_OK);
    assert_int_equal(curl_url_get(url, CURLUPART_HOST, &host, 0), CURLUE_OK);
    assert_string_equal(host, "mail.test");
    curl_free(host);
    curl_url_cleanup(url);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_curl__is_loaded_when_it_is_asked_for),
        cmocka_unit_test(test_curl__every_call_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
