// door/http_stream.h -- responses that go on: the live figures as server-sent events (node/events.h).
//
// Threads: a feed is shared by all lanes of a door; streams belong to one lane's loop.

#ifndef FB_DOOR_HTTP_STREAM_H
#define FB_DOOR_HTTP_STREAM_H

#include <pthread.h>

#include "base/blob.h"
#include "base/list.h"
#include "node/node.h"

#ifdef __cplusplus
extern "C" {
#endif

struct event_base;
struct evhttp_request;

// What is sent in one second, made by the first lane that wants it.
typedef struct fb_http_feed {
    fb_node *node;
    pthread_mutex_t lock;
    int64_t second;
    fb_blob *text;
} fb_http_feed;

void fb_http_feed_init(fb_http_feed *feed, fb_node *node);
void fb_http_feed_release(fb_http_feed *feed);

// The streams of one lane.
typedef struct fb_http_streams {
    fb_http_feed *feed;
    struct event_base *base;
    struct event *turn;  // once a second while there is a stream
    fb_list list;
} fb_http_streams;

typedef struct fb_http_stream fb_http_stream;

// FB_ENOMEM.
FB_CHECK_RESULT int fb_http_streams_init(fb_http_streams *streams, fb_http_feed *feed,
                                         struct event_base *base);
// All have been freed.
void fb_http_streams_release(fb_http_streams *streams);

// Sends the first event, and from now on one every `every_ms`. The request's response has been begun
// (evhttp_send_reply_start()). cut(cut_arg): its client takes nothing any more; it is to close the
// connection, and to free the stream. NULL: no memory.
fb_http_stream *fb_http_stream_new(fb_http_streams *streams, struct evhttp_request *request,
                                   int64_t every_ms, void (*cut)(void *arg), void *cut_arg);
// Sends nothing any more. NULL is fine.
void fb_http_stream_free(fb_http_stream *stream);

#ifdef __cplusplus
}
#endif

#endif
