// Into a buffer on the stack, and from there into bytes of the caller's; what does not fit is read
// again into memory of its size, which may have changed by then, but not often.

#include "client/owned.h"

#include "base/blob.h"
#include "base/mem.h"

enum { ROOM = 4096, TRIES = 3 };

static int keep(fb_value *value) {
    fb_blob *blob = fb_blob_new(value->data);
    value->owner = blob;
    value->data = blob != NULL ? fb_blob_str(blob) : (fb_str){NULL, 0};
    return blob != NULL ? FB_OK : FB_MISS;
}

static int peek_large(fb_client *client, fb_str key, fb_value *value) {
    int result = FB_ETOOBIG;
    for (unsigned i = 0; i < TRIES && result == FB_ETOOBIG; i++) {
        size_t room = value->data.len;
        char *bytes = fb_mem_new(room);
        if (bytes == NULL) {
            return FB_MISS;
        }
        result = fb_client_peek(client, key, bytes, room, value);
        if (result == FB_OK) {
            result = keep(value);
        }
        fb_mem_free(bytes);
    }
    return result == FB_OK ? FB_OK : FB_MISS;
}

int fb_owned_peek(fb_client *client, fb_str key, fb_value *value) {
    char bytes[ROOM];
    int result = fb_client_peek(client, key, bytes, sizeof bytes, value);
    if (result == FB_OK) {
        result = keep(value);
    } else if (result == FB_ETOOBIG) {
        result = peek_large(client, key, value);
    }
    if (result != FB_OK) {
        *value = (fb_value){0};
    }
    return result;
}
