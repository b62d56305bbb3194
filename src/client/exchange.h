// client/exchange.h -- asking the daemon: connections, outages, what is owed to it, its region.
//
// Threads: any.

#ifndef FB_CLIENT_EXCHANGE_H
#define FB_CLIENT_EXCHANGE_H

#include "client/link.h"
#include "client/state.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_ask {
    const fb_str *args;
    size_t arg_count;
    // A command before it in the same round trip, and who hears its reply (also an error). May be
    // NULL.
    const fb_str *first;
    size_t first_count;
    void (*hear)(void *arg, const fb_resp_value *reply);
    void *arg;
    int64_t timeout_ms;
    bool once;    // must not be done twice
    bool slow;    // may take its time: FB_ETIMEDOUT, where the daemon answers others meanwhile
    bool writes;  // changes something: if it goes unanswered, it may still be done later
} fb_ask;

// FB_OK: *reply is no error, and good until fb_exchange_done(), which must follow.
// FB_EIO: there is no daemon; the client knows and has said so. What an error reply says, as the
// result that it stands for. FB_ENOMEM, FB_ETOOBIG, FB_EDENIED.
FB_CHECK_RESULT int fb_exchange(fb_client *client, const fb_ask *ask, fb_conn **conn,
                                const fb_resp_value **reply, fb_error *error);
void fb_exchange_done(fb_client *client, fb_conn *conn);

// A warning: to the client's function, else to the log's hook. Never with the lock held.
FB_PRINTF(3, 4) void fb_exchange_say(fb_client *client, const char *event, const char *format, ...);

void fb_exchange_in_child(fb_forked *forked);
// Frees all connections and regions.
void fb_exchange_release(fb_client *client);

#ifdef __cplusplus
}
#endif

#endif
