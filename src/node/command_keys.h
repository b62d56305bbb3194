// node/command_keys.h -- which words of a command are keys.
//
// Threads: any.

#ifndef FB_NODE_COMMAND_KEYS_H
#define FB_NODE_COMMAND_KEYS_H

#include "node/command.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_key_places {
    size_t first, step, count;  // from args[first] on, each `step`, so many
} fb_key_places;

// Of a command whose number of arguments fits. false: its words are wrong; then it does nothing but
// say so.
bool fb_command_keys(const fb_command_call *call, fb_key_places *keys);

#ifdef __cplusplus
}
#endif

#endif
