// node/job_words.h -- the option words of commands about jobs, and the job or queue that they are
// about.
//
// Threads: any.

#ifndef FB_NODE_JOB_WORDS_H
#define FB_NODE_JOB_WORDS_H

#include <forebay/queue.h>

#include "node/command.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {  // which words a command takes
    FB_JOB_WORD_KIND = 1,
    FB_JOB_WORD_PRI = 2,
    FB_JOB_WORD_DELAY = 4,  // ms
    FB_JOB_WORD_AT = 8,     // Unix ms
    FB_JOB_WORD_UNIQ = 16,
    FB_JOB_WORD_ATTEMPTS = 32,
    FB_JOB_WORD_LEASE = 64,     // ms
    FB_JOB_WORD_EXPIRES = 128,  // ms
    FB_JOB_WORD_WITHNEW = 256,
    FB_JOB_WORD_COUNT = 512,
    FB_JOB_WORD_BLOCK = 1024,  // ms; 0: for ever
    FB_JOB_WORD_WORKER = 2048,
    FB_JOB_WORD_RESERVE = 4096,  // how many
    FB_JOB_WORD_PERMANENT = 8192,
    FB_JOB_WORD_ERROR = 16384,
    FB_JOB_WORD_PROGRESS = 32768,
    FB_JOB_WORD_AFTER = 65536,  // a number or an id of the queue
    FB_JOB_WORD_FRESH = FB_JOB_WORD_KIND | FB_JOB_WORD_PRI | FB_JOB_WORD_DELAY | FB_JOB_WORD_AT |
                        FB_JOB_WORD_ATTEMPTS | FB_JOB_WORD_LEASE | FB_JOB_WORD_EXPIRES
};

// What waits for ever waits for a year; it is also the longest that may be asked for.
#define FB_JOB_WAIT_MAX_MS INT64_C(31536000000)

typedef struct fb_job_words {
    unsigned given;
    fb_job_spec spec;  // KIND to EXPIRES; priority unset, all others 0 unless given
    uint32_t count, reserve;
    int64_t block_ms;
    uint64_t after;
    fb_str worker, error, progress;
} fb_job_words;

// Reads words of `allowed` from *at on, as far as there are any; *at is the first that is none. Says so
// and returns false where one is wrong, given twice, or two do not go together.
bool fb_job_words_read(fb_command_call *call, unsigned allowed, size_t *at, fb_job_words *words);
// The same, to the end of the command.
bool fb_job_words_all(fb_command_call *call, unsigned allowed, size_t at, fb_job_words *words);
// Whether that argument is one of the words.
bool fb_job_words_is(const fb_command_call *call, unsigned allowed, size_t at);

// An id; of `queue`, unless that is empty. Says so and returns false where it is none.
bool fb_job_words_id(fb_command_call *call, size_t at, fb_str *queue, uint64_t *number);
// A token as RESERVE gave it.
bool fb_job_words_token(fb_command_call *call, size_t at, uint64_t *token);

#ifdef __cplusplus
}
#endif

#endif
