// cli/policy.h -- what `forebay bench trace --compare` sets beside the engine: eviction policies,
// exact, counted in objects.

#ifndef FB_CLI_POLICY_H
#define FB_CLI_POLICY_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

// Replays keys, each below `distinct`, with room for `room` objects. FB_OK, FB_ENOMEM.
typedef int (*fb_policy_fn)(const uint32_t *keys, size_t key_count, uint32_t distinct,
                            uint32_t room, uint64_t *misses);

FB_CHECK_RESULT int fb_policy_lru(const uint32_t *keys, size_t key_count, uint32_t distinct,
                                  uint32_t room, uint64_t *misses);
// Yang et al., SOSP '23: a tenth in the small queue, 0.9 of the room in ghosts, two uses to be
// promoted; while the cache fills for the first time, what the small queue cannot hold goes to
// main.
FB_CHECK_RESULT int fb_policy_s3fifo(const uint32_t *keys, size_t key_count, uint32_t distinct,
                                     uint32_t room, uint64_t *misses);

#ifdef __cplusplus
}
#endif

#endif
