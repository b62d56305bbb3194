// Any bytes at a session on a real engine: cut in two ways they must give the same replies, and
// each reply must be one that a client can read. The first byte says how to cut and how much memory
// a reply may take; nothing may be left over, which LeakSanitizer sees at the end.
//
// Replies that tell the time, a number of a connection, a place in memory or what is left of a quota
// differ from run to run: streams with such commands are only fed.

#include "node_rig.h"
#include "wire/resp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SIZE_MAX_BYTES = 4096, OUT_MAX = 8 << 20, DEPTH = 16 };

static rig shared;

typedef struct run {
    fb_str stream;
    size_t step;
    fb_buf out;
    bool waits;  // in the end, for replies: that of EXEC may be there in part
    bool more;   // of these are to come
    fb_session *session;
} run;

static void ignore_wake(void *arg) {
    (void)arg;
}

static void begin_empty(void) {
    fb_invalidation all = {.scope = FB_SCOPE_ALL};
    FB_ASSERT(fb_invalidate(shared.engine, &all, NULL) == FB_OK);
}

// On the loop, where answers of fetches come too; what is behind the first that waits is left.
static void feed(void *arg) {
    run *one = arg;
    fb_session *session = NULL;
    size_t start = 0;
    size_t there = 0;
    int result = FB_OK;
    begin_empty();
    FB_ASSERT(fb_session_new(&shared.node, FB_STR("fuzz"), ignore_wake, NULL, &session) == FB_OK);
    while (result == FB_REFUSED || (result == FB_OK && there < one->stream.len)) {
        if (result == FB_OK) {
            there = there + one->step < one->stream.len ? there + one->step : one->stream.len;
        }
        size_t len = there - start;
        size_t used = 0;
        char *copy = malloc(len > 0 ? len : 1);
        FB_ASSERT(copy != NULL);
        memcpy(copy, one->stream.ptr + start, len);
        result = fb_session_feed(session, fb_str_make(copy, len), &used);
        free(copy);
        FB_ASSERT(used <= len);
        start += used;
        fb_buf *out = fb_session_out(session);
        if (one->out.len < OUT_MAX) {
            FB_ASSERT(fb_buf_append(&one->out, fb_buf_str(out)) == FB_OK);
        }
        out->len = 0;
    }
    one->waits = fb_session_waits(session);
    one->session = session;
}

static void look(void *arg) {
    run *one = arg;
    fb_session_unblock(one->session);  // who waits for jobs would wait for long
    one->more = fb_session_waits(one->session);
}

static void leave(void *arg) {
    run *one = arg;
    fb_session_free(one->session);
}

// A fiber that waits is nothing that LeakSanitizer can see: so all have to end before the session does.
static void run_all(run *one) {
    rig_on_loop(&shared, feed, one);
    do {
        rig_on_loop(&shared, look, one);
    } while (one->more);
    rig_on_loop(&shared, leave, one);
}

static void check_readable(const run *one) {
    fb_resp_reply *reader = NULL;
    FB_ASSERT(fb_resp_reply_new(DEPTH, UINT64_C(1) << 30, &reader) == FB_OK);
    size_t at = 0;
    while (at < one->out.len) {
        const fb_resp_value *value = NULL;
        fb_error error = {0};
        ssize_t used = fb_resp_reply_read(reader, fb_str_make(one->out.ptr + at, one->out.len - at),
                                          &value, &error);
        FB_ASSERT(used > 0 || (used == 0 && one->waits));
        at = used > 0 ? at + (size_t)used : one->out.len;
    }
    fb_resp_reply_free(reader);
}

static bool holds_word(fb_str stream, const char *word) {
    fb_str wanted = fb_str_of(word);
    for (size_t i = 0; i + wanted.len <= stream.len; i++) {
        if (fb_str_same(fb_str_make(stream.ptr + i, wanted.len), wanted)) {
            return true;
        }
    }
    return false;
}

// EX as in SETEX, EXPIRE, EXAT; not as in EXEC and EXISTS.
static bool holds_expiry(fb_str stream) {
    for (size_t i = 0; i + 2 <= stream.len; i++) {
        fb_str rest = {stream.ptr + i, stream.len - i};
        fb_str four = {rest.ptr, rest.len < 4 ? rest.len : 4};
        if (fb_str_same(fb_str_make(rest.ptr, 2), FB_STR("EX")) &&
            !fb_str_same(four, FB_STR("EXEC")) && !fb_str_same(four, FB_STR("EXIS"))) {
            return true;
        }
    }
    return false;
}

static bool same_each_time(fb_str stream) {
    static const char *const others[] = {"TIME",    "HELLO",  "CLIENT", "INFO", "FB.", "CL.",
                                         "TTL",     "PX",     "SCAN",   "KEYS", "PERSIST",
                                         "COMMAND", "DBSIZE", "RANDOM"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (holds_word(stream, others[i])) {
            return false;
        }
    }
    return !holds_expiry(stream);
}

static void end(void) {
    rig_close(&shared);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static bool opened;
    if (!opened) {
        rig_open_until_exit(&shared, end);
        opened = true;
    }
    if (size < 2 || size > SIZE_MAX_BYTES) {
        return 0;
    }
    fb_str stream = {(const char *)data + 1, size - 1};
    run whole = {.stream = stream, .step = stream.len};
    run cut = {.stream = stream, .step = (size_t)(data[0] % 16) + 1};
    run_all(&whole);
    check_readable(&whole);
    run_all(&cut);
    check_readable(&cut);
    if (same_each_time(stream) && whole.out.len < OUT_MAX && cut.out.len < OUT_MAX) {
        FB_ASSERT(fb_str_equal(fb_buf_str(&whole.out), fb_buf_str(&cut.out)));
    }
    fb_buf_release(&whole.out);
    fb_buf_release(&cut.out);
    return 0;
}
