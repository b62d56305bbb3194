// redis/dictionary.h -- compression of values: zstd, with a dictionary for each class.
//
// A class's values look alike, and are small: what they have in common is learned once from real
// ones, and then need not be in each. A dictionary has a version (random, never 0) and stands in
// the shared tier, hash NAMESPACE:dict:CLASS, version → bytes, with the field `now` naming the one
// to be used. So all nodes use one; who meets a version that he does not have fetches it.
//
//   the first values ─▶ `now` is asked for ─▶ there: it is used
//                           └ none: values are collected, a dictionary is trained from them on a
//                             thread of its own and offered; who was first is `now`
//
// Until there is one, values are compressed without. What would not shrink stays as it is. After
// the server may have lost what it had (it was away; a log had no epoch, or has another one) `now` is
// asked for again, and what is known here is offered.
//
// Threads: any, of one fb_redis; what takes a remote, on its loop. Memory: zstd's own beside ours.

#ifndef FB_REDIS_DICTIONARY_H
#define FB_REDIS_DICTIONARY_H

#include "redis/remote_state.h"

enum {
    FB_DICTIONARY_LEN_MAX = 16 * 1024,
    FB_DICTIONARY_SAMPLES = 1000,             // as many values, or
    FB_DICTIONARY_SAMPLES_LEN = 1024 * 1024,  // as many bytes of them
    FB_COMPRESS_LEN_MIN = 64                  // shorter values are never compressed
};

FB_CHECK_RESULT int fb_dictionaries_new(uint64_t seed, fb_dictionaries **dictionaries);
// Waits for a training that is under way. NULL is fine.
void fb_dictionaries_free(fb_dictionaries *dictionaries);
// The server may have lost them.
void fb_dictionaries_doubt(fb_dictionaries *dictionaries);

// Where the class of *how asks for it and it is worth it: its payload becomes a frame (in
// remote->packed), and *how says so.
void fb_dictionary_compress(fb_remote *remote, fb_envelope *how);
// The payload as it was, into *value. FB_OK; FB_MISS: its dictionary is not here; FB_ESYNTAX;
// FB_ENOMEM.
FB_CHECK_RESULT int fb_dictionary_expand(fb_remote *remote, const fb_envelope *envelope,
                                         fb_buf *value);
// Fetches the dictionary that ask->held_value names, then fb_ask_go_on(): with it, or without.
void fb_dictionary_fetch(fb_ask *ask);
// What zstd keeps for a loop.
void fb_dictionary_release(fb_remote *remote);

#endif
