// One timer a lane, and one text a second for everybody: a listener more costs a reference to that text
// in its output, and the write.
//
// A client that does not read keeps what it was sent in the socket's buffers, then in ours. What waits
// in ours is bounded: who has WAITING_LEN_MAX of it is cut off.
//
// Where nothing is due for a while a comment goes out, so that proxies on the way do not take the silence
// for an end, and a client that is gone is noticed.
//
// Who may listen is asked when he comes. So when the users change all listeners are cut off: a browser comes
// again by itself, and is asked again.

#include "door/http_stream.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <time.h>

#include "base/check.h"
#include "base/mem.h"
#include "node/events.h"

enum { WAITING_LEN_MAX = 256 * 1024, SILENCE_S = 15 };

struct fb_http_stream {
    fb_list list;
    fb_http_streams *streams;
    struct evhttp_request *request;
    int64_t every_s, due_s, sent_s;
    uint64_t users_version;  // as of which it may listen
    void (*cut)(void *arg);
    void *cut_arg;
};

static int64_t clock_s(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

// ---- the text of a second

void fb_http_feed_init(fb_http_feed *feed, fb_node *node) {
    *feed = (fb_http_feed){.node = node, .second = -1};
    pthread_mutex_init(&feed->lock, NULL);
}

void fb_http_feed_release(fb_http_feed *feed) {
    fb_blob_drop(feed->text);
    pthread_mutex_destroy(&feed->lock);
}

// With reference. NULL: no memory.
static fb_blob *text_of(fb_http_feed *feed, int64_t second) {
    pthread_mutex_lock(&feed->lock);
    if (feed->second < second || feed->text == NULL) {
        fb_buf out = {0};
        fb_blob_drop(feed->text);
        feed->text = NULL;
        if (fb_events_write(feed->node, (uint64_t)second, &out) == FB_OK) {
            feed->text = fb_blob_new(fb_buf_str(&out));
            feed->second = second;
        }
        fb_buf_release(&out);
    }
    fb_blob *text = feed->text != NULL ? fb_blob_take(feed->text) : NULL;
    pthread_mutex_unlock(&feed->lock);
    return text;
}

// ---- sending

static void drop_text(const void *bytes, size_t len, void *arg) {
    (void)bytes, (void)len;
    fb_blob_drop(arg);
}

static void send_text(fb_http_stream *stream, fb_blob *text) {
    struct evbuffer *chunk = evbuffer_new();
    fb_str bytes = fb_blob_str(text);
    if (chunk != NULL && evbuffer_add_reference(chunk, bytes.ptr, bytes.len, drop_text,
                                                fb_blob_take(text)) == 0) {
        evhttp_send_reply_chunk(stream->request, chunk);
    } else if (chunk != NULL) {
        fb_blob_drop(text);
    }
    if (chunk != NULL) {
        evbuffer_free(chunk);
    }
}

static void send_comment(fb_http_stream *stream) {
    struct evbuffer *chunk = evbuffer_new();
    if (chunk != NULL) {
        (void)evbuffer_add_printf(chunk, ":\n\n");
        evhttp_send_reply_chunk(stream->request, chunk);
        evbuffer_free(chunk);
    }
}

static size_t waiting_len(const fb_http_stream *stream) {
    struct evhttp_connection *connection = evhttp_request_get_connection(stream->request);
    return connection != NULL ? evbuffer_get_length(bufferevent_get_output(
                                    evhttp_connection_get_bufferevent(connection)))
                              : 0;
}

static void take_turn(fb_http_stream *stream, int64_t now_s) {
    if (waiting_len(stream) > WAITING_LEN_MAX) {
        stream->cut(stream->cut_arg);  // it is gone now
        return;
    }
    if (now_s >= stream->due_s) {
        fb_blob *text = text_of(stream->streams->feed, now_s);
        if (text != NULL) {
            send_text(stream, text);
            fb_blob_drop(text);
        }
        stream->due_s = now_s + stream->every_s;
        stream->sent_s = now_s;
    } else if (now_s - stream->sent_s >= SILENCE_S) {
        send_comment(stream);
        stream->sent_s = now_s;
    }
}

static uint64_t version_of_users(const fb_http_streams *streams) {
    return atomic_load_explicit(&streams->feed->node->users_version, memory_order_acquire);
}

static void arm(fb_http_streams *streams) {
    static const struct timeval second = {1, 0};
    if (!event_pending(streams->turn, EV_TIMEOUT, NULL)) {
        (void)event_add(streams->turn, &second);
    }
}

static void on_turn(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    fb_http_streams *streams = arg;
    int64_t now_s = clock_s();
    uint64_t version = version_of_users(streams);
    FB_LIST_EACH_SAFE(node, after, &streams->list) {
        fb_http_stream *stream = FB_LIST_OF(node, fb_http_stream, list);
        if (stream->users_version != version) {
            stream->cut(stream->cut_arg);  // it is gone now
        } else {
            take_turn(stream, now_s);
        }
    }
    if (!fb_list_empty(&streams->list)) {
        arm(streams);
    }
}

// ---- streams

int fb_http_streams_init(fb_http_streams *streams, fb_http_feed *feed, struct event_base *base) {
    *streams = (fb_http_streams){.feed = feed, .base = base};
    fb_list_init(&streams->list);
    streams->turn = event_new(base, -1, 0, on_turn, streams);
    return streams->turn != NULL ? FB_OK : FB_ENOMEM;
}

void fb_http_streams_release(fb_http_streams *streams) {
    if (streams->turn != NULL) {
        FB_ASSERT(fb_list_empty(&streams->list));
        event_free(streams->turn);
        streams->turn = NULL;
    }
}

fb_http_stream *fb_http_stream_new(fb_http_streams *streams, struct evhttp_request *request,
                                   int64_t every_ms, void (*cut)(void *arg), void *cut_arg) {
    fb_http_stream *stream = fb_mem_zero(1, sizeof *stream);
    if (stream == NULL) {
        return NULL;
    }
    *stream = (fb_http_stream){.streams = streams,
                               .request = request,
                               .every_s = (every_ms + 999) / 1000,
                               .users_version = version_of_users(streams),
                               .cut = cut,
                               .cut_arg = cut_arg};
    fb_list_insert(&streams->list, &stream->list);
    take_turn(stream, clock_s());
    arm(streams);
    return stream;
}

void fb_http_stream_free(fb_http_stream *stream) {
    if (stream != NULL) {
        fb_list_remove(&stream->list);
        fb_mem_free(stream);
    }
}
