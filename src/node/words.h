// node/words.h -- option words in front of, or behind, what forebay's own verbs take: each with its
// value, each at most once, in any order.
//
// Threads: any.

#ifndef FB_NODE_WORDS_H
#define FB_NODE_WORDS_H

#include "node/command.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {  // which words a verb takes
    FB_WORD_SOFT = 1,
    FB_WORD_WAIT = 2,     // WAIT LOCAL|REDIS|NODES
    FB_WORD_TIMEOUT = 4,  // TIMEOUT ms
    FB_WORD_SRCVER = 8,   // SRCVER version
    FB_WORD_MINSEQ = 16,  // MINSEQ token
    FB_WORD_LEASE = 32,   // LEASE ms
    FB_WORD_TTL = 64,     // EX seconds | PX ms
    FB_WORD_TAGS = 128,   // TAGS count tag [tag ...]
    FB_WORD_COST = 256,   // COST number
    FB_WORD_TIER = 512,   // TIER name
    FB_WORD_PEEK = 1024,
    FB_WORD_FOR = 2048,   // FOR ms
    FB_WORD_LIFE = 4096   // TTL ms
};

typedef struct fb_words {
    unsigned given;  // of them
    fb_reach reach;
    int64_t timeout_ms, lease_ms, ttl_ms, for_ms, life_ms;
    uint32_t cost;  // 1 unless given
    uint64_t source_version;
    fb_str after, tier;
    fb_str tags[FB_TAGS_MAX];
    size_t tag_count;
} fb_words;

// Reads words of `allowed` from *at on, as far as there are any; *at is the first that is none.
// Says so and returns false where one is wrong, or given twice.
bool fb_words_read(fb_command_call *call, unsigned allowed, size_t *at, fb_words *words);
// A token of a lease: decimal, of 64 bits.
bool fb_words_token(fb_str text, uint64_t *token);

#ifdef __cplusplus
}
#endif

#endif
