// Jobs as POSTs, by libcurl. Each thread of the worker does one at a time; handles, with the
// connections that they keep, are lent from a stack. Proxies of the environment are not used: an
// application beside us is asked directly.

#include "engine/webhook.h"

#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "engine/queues_inside.h"
#include "os/clock.h"
#include "os/curl.h"

enum { REASON_MAX = 200, HANDLES_MAX = 64, HEADER_SIZE = 1024 };
static const int64_t RETRY_AFTER_MAX_S = 24 * 3600;

struct fb_webhook {
    fb_queues *queues;
    pthread_mutex_t lock;
    CURL *idle[HANDLES_MAX];
    size_t idle_count;
};

typedef struct posting {
    fb_work *work;
    char reason[REASON_MAX + 1];  // the answer's first bytes
    size_t reason_len;
    char why[CURL_ERROR_SIZE];
} posting;

int fb_webhook_new(fb_queues *queues, fb_webhook **webhook) {
    *webhook = fb_mem_zero(1, sizeof **webhook);
    if (*webhook == NULL) {
        return FB_ENOMEM;
    }
    (*webhook)->queues = queues;
    pthread_mutex_init(&(*webhook)->lock, NULL);
    return FB_OK;
}

void fb_webhook_free(fb_webhook *webhook) {
    if (webhook == NULL) {
        return;
    }
    while (webhook->idle_count > 0) {
        curl_easy_cleanup(webhook->idle[--webhook->idle_count]);
    }
    pthread_mutex_destroy(&webhook->lock);
    fb_mem_free(webhook);
}

static CURL *borrow(fb_webhook *webhook) {
    CURL *handle = NULL;
    pthread_mutex_lock(&webhook->lock);
    if (webhook->idle_count > 0) {
        handle = webhook->idle[--webhook->idle_count];
    }
    pthread_mutex_unlock(&webhook->lock);
    return handle != NULL ? handle : curl_easy_init();
}

static void give_back(fb_webhook *webhook, CURL *handle) {
    curl_easy_reset(handle);  // its connections stay
    pthread_mutex_lock(&webhook->lock);
    bool kept = webhook->idle_count < HANDLES_MAX;
    if (kept) {
        webhook->idle[webhook->idle_count++] = handle;
    }
    pthread_mutex_unlock(&webhook->lock);
    if (!kept) {
        curl_easy_cleanup(handle);
    }
}

// ---- what is sent

static bool add_header(struct curl_slist **list, const char *text) {
    struct curl_slist *longer = curl_slist_append(*list, text);
    *list = longer != NULL ? longer : *list;
    return longer != NULL;
}

FB_PRINTF(2, 3) static bool add(struct curl_slist **list, const char *format, ...) {
    char text[HEADER_SIZE];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return add_header(list, text);
}

static bool sign(const char *secret, const char *time, fb_str body, char *hex) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    size_t len = 0;
    char digest_name[] = "SHA256";
    OSSL_PARAM options[] = {OSSL_PARAM_construct_utf8_string("digest", digest_name, 0),
                            OSSL_PARAM_construct_end()};
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *context = mac != NULL ? EVP_MAC_CTX_new(mac) : NULL;
    bool done =
        context != NULL &&
        EVP_MAC_init(context, (const unsigned char *)secret, strlen(secret), options) == 1 &&
        EVP_MAC_update(context, (const unsigned char *)time, strlen(time)) == 1 &&
        EVP_MAC_update(context, (const unsigned char *)".", 1) == 1 &&
        (body.len == 0 ||
         EVP_MAC_update(context, (const unsigned char *)body.ptr, body.len) == 1) &&
        EVP_MAC_final(context, digest, &len, sizeof digest) == 1;
    EVP_MAC_CTX_free(context);
    EVP_MAC_free(mac);
    for (size_t i = 0; done && i < len; i++) {
        (void)snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    }
    return done;
}

static bool is_json(fb_str payload) {
    fb_str text = fb_str_trim(payload);
    return text.len > 0 && (text.ptr[0] == '{' || text.ptr[0] == '[');
}

static bool add_headers(const fb_job *job, const fb_queue_options *options,
                        struct curl_slist **list) {
    char id[FB_JOB_ID_SIZE], time[24], hex[2 * EVP_MAX_MD_SIZE + 1];
    bool is_signed = options->secret != NULL && options->secret[0] != '\0';
    (void)snprintf(time, sizeof time, "%lld", (long long)(fb_clock_wall_ms() / 1000));
    // What ends in ";" libcurl sends with nothing after the colon.
    return add(list, "Content-Type: %s",
               is_json(job->payload) ? "application/json" : "application/octet-stream") &&
           add(list, "Expect:") &&
           add(list, "X-Forebay-Id: %s", fb_job_id_write(job->queue, job->number, id)) &&
           add(list, "X-Forebay-Queue: %.*s", FB_STR_ARG(job->queue)) &&
           (job->kind.len > 0 ? add(list, "X-Forebay-Kind: %.*s", FB_STR_ARG(job->kind))
                              : add(list, "X-Forebay-Kind;")) &&
           add(list, "X-Forebay-Attempt: %u", job->attempt) &&
           add(list, "X-Forebay-Attempts: %u", job->attempts) &&
           add(list, "X-Forebay-Timestamp: %s", time) &&
           (!is_signed || (sign(options->secret, time, job->payload, hex) &&
                           add(list, "X-Forebay-Signature: sha256=%s", hex)));
}

// ---- what comes back

static size_t on_body(char *bytes, size_t size, size_t count, void *arg) {
    posting *one = arg;
    size_t len = size * count;
    for (size_t i = 0; i < len && one->reason_len < REASON_MAX; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        one->reason[one->reason_len++] = (char)(byte < 0x20 || byte == 0x7f ? ' ' : byte);
    }
    return len;
}

static int on_progress(void *arg, curl_off_t total, curl_off_t now, curl_off_t up_total,
                       curl_off_t up_now) {
    (void)total, (void)now, (void)up_total, (void)up_now;
    const posting *one = arg;
    return fb_work_is_over(one->work) ? 1 : 0;
}

static bool set_up(CURL *handle, const fb_job *job, const fb_queue_options *options,
                   struct curl_slist *headers, posting *one) {
    static const char empty[] = "";
    long timeout_ms = (long)(options->timeout_ns / FB_NS_PER_MS);
#define SET(option, value) (curl_easy_setopt(handle, option, value) == CURLE_OK)
    return SET(CURLOPT_URL, options->url) && SET(CURLOPT_PROTOCOLS_STR, "http,https") &&
           SET(CURLOPT_PROXY, "") && SET(CURLOPT_NOSIGNAL, 1L) &&
           SET(CURLOPT_FOLLOWLOCATION, 0L) && SET(CURLOPT_POST, 1L) &&
           SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)job->payload.len) &&
           SET(CURLOPT_POSTFIELDS, job->payload.len > 0 ? job->payload.ptr : empty) &&
           SET(CURLOPT_HTTPHEADER, headers) && SET(CURLOPT_USERAGENT, "forebay/" FB_VERSION) &&
           SET(CURLOPT_TIMEOUT_MS, timeout_ms > 0 ? timeout_ms : 1L) &&
           SET(CURLOPT_WRITEFUNCTION, on_body) && SET(CURLOPT_WRITEDATA, one) &&
           SET(CURLOPT_XFERINFOFUNCTION, on_progress) && SET(CURLOPT_XFERINFODATA, one) &&
           SET(CURLOPT_NOPROGRESS, 0L) && SET(CURLOPT_ERRORBUFFER, one->why);
#undef SET
}

static int judge(CURL *handle, long code, posting *one) {
    char text[REASON_MAX + 64];
    curl_off_t after_s = 0;
    if (code >= 200 && code < 300) {
        return FB_OK;
    }
    bool again = code < 400 || code >= 500 || code == 408 || code == 425 || code == 429;
    bool told = (code == 429 || code == 503) &&
                curl_easy_getinfo(handle, CURLINFO_RETRY_AFTER, &after_s) == CURLE_OK &&
                after_s > 0;
    after_s = after_s < RETRY_AFTER_MAX_S ? after_s : RETRY_AFTER_MAX_S;
    (void)snprintf(text, sizeof text, "HTTP %ld%s%s", code, one->reason_len > 0 ? ": " : "",
                   one->reason);
    fb_work_fail(one->work, text, !again, told ? (int64_t)after_s * 1000 : -1);
    return FB_ESOURCE;
}

static int post(CURL *handle, const fb_job *job, const fb_queue_options *options, posting *one) {
    struct curl_slist *headers = NULL;
    int result = FB_ENOMEM;
    if (add_headers(job, options, &headers) && set_up(handle, job, options, headers, one)) {
        CURLcode done = curl_easy_perform(handle);
        long code = 0;
        if (done == CURLE_ABORTED_BY_CALLBACK) {
            fb_work_release(one->work, 0);
            result = FB_ECLOSED;
        } else if (done != CURLE_OK) {
            const char *why = one->why[0] != '\0' ? one->why : curl_easy_strerror(done);
            fb_work_fail(one->work, why, false, -1);
            result = FB_EIO;
        } else if (curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &code) == CURLE_OK) {
            result = judge(handle, code, one);
        }
    }
    curl_slist_free_all(headers);
    return result;
}

int fb_webhook_work(void *arg, const fb_job *job, fb_work *work) {
    fb_webhook *webhook = arg;
    const fb_queue_options *options = fb_queues_options(webhook->queues, job->queue);
    posting one = {.work = work};
    if (options == NULL || options->url == NULL) {
        fb_work_release(work, 0);  // a reload took the queue away
        return FB_ECLOSED;
    }
    fb_error error = {0};
    int result = fb_curl_load(&error);
    if (result < 0) {
        fb_work_fail(work, error.text, false, -1);
        return result;
    }
    CURL *handle = borrow(webhook);
    if (handle == NULL) {
        return FB_ENOMEM;
    }
    result = post(handle, job, options, &one);
    give_back(webhook, handle);
    return result;
}
