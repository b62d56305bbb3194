// One row for each word, and who reads what is behind it.

#include "node/job_words.h"

#include "base/str.h"

enum { SHOWN = 64 };

static bool read_number(fb_command_call *call, const char *word, size_t at, int64_t least,
                        int64_t most, int64_t *number) {
    if (at >= call->arg_count || fb_str_int(call->args[at], number) != FB_OK || *number < least ||
        *number > most) {
        fb_reply_error(call->reply, "ERR %s needs an integer from %lld to %lld", word,
                       (long long)least, (long long)most);
        return false;
    }
    return true;
}

static bool read_text(fb_command_call *call, const char *word, size_t at, fb_str *text) {
    if (at >= call->arg_count) {
        fb_reply_error(call->reply, "ERR %s needs a value", word);
        return false;
    }
    *text = call->args[at];
    return true;
}

static bool read_kind(fb_command_call *call, const char *word, size_t at, fb_job_words *words) {
    return read_text(call, word, at, &words->spec.kind);
}

static bool read_pri(fb_command_call *call, const char *word, size_t at, fb_job_words *words) {
    int64_t number;
    bool fine = read_number(call, word, at, 0, FB_JOB_PRIORITIES - 1, &number);
    words->spec.priority = fine ? (int)number : FB_JOB_PRIORITY_UNSET;
    return fine;
}

static bool read_delay(fb_command_call *call, const char *word, size_t at, fb_job_words *words) {
    return read_number(call, word, at, 0, INT64_MAX / 2, &words->spec.delay_ms);
}

static bool read_at(fb_command_call *call, const char *word, size_t at, fb_job_words *words) {
    return read_number(call, word, at, 1, INT64_MAX / 2, &words->spec.at_ms);
}

static bool read_uniq(fb_command_call *call, const char *word, size_t at, fb_job_words *words) {
    return read_text(call, word, at, &words->spec.unique);
}

static bool read_attempts(fb_command_call *call, const char *word, size_t at, fb_job_words *words) {
    int64_t number;
    bool fine = read_number(call, word, at, 1, INT32_MAX, &number);
    words->spec.attempts = fine ? (uint32_t)number : 0;
    return fine;
}

static bool read_lease(fb_command_call *call, const char *word, size_t at, fb_job_words *words) {
    return read_number(call, word, at, 1, INT64_MAX / 2, &words->spec.lease_ms);
}

static bool read_expires(fb_command_call *call, const char *word, size_t at, fb_job_words *words) {
    return read_number(call, word, at, 1, INT64_MAX / 2, &words->spec.expires_ms);
}

static bool read_count(fb_command_call *call, const char *word, size_t at, fb_job_words *words) {
    int64_t number;
    bool fine = read_number(call, word, at, 1, FB_JOB_BATCH_MAX, &number);
    words->count = fine ? (uint32_t)number : 0;
    return fine;
}

static bool read_block(fb_command_call *call, const char *word, size_t at, fb_job_words *words) {
    bool fine = read_number(call, word, at, 0, FB_JOB_WAIT_MAX_MS, &words->block_ms);
    words->block_ms = fine && words->block_ms == 0 ? FB_JOB_WAIT_MAX_MS : words->block_ms;
    return fine;
}

static bool read_worker(fb_command_call *call, const char *word, size_t at, fb_job_words *words) {
    return read_text(call, word, at, &words->worker);
}

static bool read_reserve(fb_command_call *call, const char *word, size_t at, fb_job_words *words) {
    int64_t number;
    bool fine = read_number(call, word, at, 1, FB_JOB_BATCH_MAX, &number);
    words->reserve = fine ? (uint32_t)number : 0;
    return fine;
}

static bool read_error(fb_command_call *call, const char *word, size_t at, fb_job_words *words) {
    return read_text(call, word, at, &words->error);
}

static bool read_progress(fb_command_call *call, const char *word, size_t at, fb_job_words *words) {
    return read_text(call, word, at, &words->progress);
}

static bool read_after(fb_command_call *call, const char *word, size_t at, fb_job_words *words) {
    fb_str queue;
    int64_t number;
    if (at < call->arg_count && fb_job_id_parse(call->args[at], &queue, &words->after) == FB_OK) {
        return true;
    }
    if (at >= call->arg_count || fb_str_int(call->args[at], &number) != FB_OK || number < 0) {
        fb_reply_error(call->reply, "ERR %s needs the id of a job, such as default.64", word);
        return false;
    }
    words->after = (uint64_t)number;
    return true;
}

typedef struct word {
    const char *name;
    unsigned flag;
    // NULL: nothing is behind it
    bool (*read)(fb_command_call *call, const char *word, size_t at, fb_job_words *words);
} word;

static const word WORDS[] = {
    {"KIND", FB_JOB_WORD_KIND, read_kind},
    {"PRI", FB_JOB_WORD_PRI, read_pri},
    {"DELAY", FB_JOB_WORD_DELAY, read_delay},
    {"AT", FB_JOB_WORD_AT, read_at},
    {"UNIQ", FB_JOB_WORD_UNIQ, read_uniq},
    {"ATTEMPTS", FB_JOB_WORD_ATTEMPTS, read_attempts},
    {"LEASE", FB_JOB_WORD_LEASE, read_lease},
    {"EXPIRES", FB_JOB_WORD_EXPIRES, read_expires},
    {"WITHNEW", FB_JOB_WORD_WITHNEW, NULL},
    {"COUNT", FB_JOB_WORD_COUNT, read_count},
    {"BLOCK", FB_JOB_WORD_BLOCK, read_block},
    {"WORKER", FB_JOB_WORD_WORKER, read_worker},
    {"RESERVE", FB_JOB_WORD_RESERVE, read_reserve},
    {"PERMANENT", FB_JOB_WORD_PERMANENT, NULL},
    {"ERROR", FB_JOB_WORD_ERROR, read_error},
    {"PROGRESS", FB_JOB_WORD_PROGRESS, read_progress},
    {"AFTER", FB_JOB_WORD_AFTER, read_after},
};

static const word *find(const fb_command_call *call, unsigned allowed, size_t at) {
    for (size_t i = 0; i < sizeof WORDS / sizeof WORDS[0] && at < call->arg_count; i++) {
        if ((allowed & WORDS[i].flag) != 0 && fb_command_word(call, at, WORDS[i].name)) {
            return &WORDS[i];
        }
    }
    return NULL;
}

bool fb_job_words_is(const fb_command_call *call, unsigned allowed, size_t at) {
    return find(call, allowed, at) != NULL;
}

static bool go_together(fb_command_call *call, const fb_job_words *words) {
    unsigned both = FB_JOB_WORD_DELAY | FB_JOB_WORD_AT;
    if ((words->given & both) == both) {
        fb_reply_error(call->reply, "ERR DELAY and AT do not go together");
        return false;
    }
    return true;
}

bool fb_job_words_read(fb_command_call *call, unsigned allowed, size_t *at, fb_job_words *words) {
    *words = (fb_job_words){.spec.priority = FB_JOB_PRIORITY_UNSET};
    for (const word *one = find(call, allowed, *at); one != NULL; one = find(call, allowed, *at)) {
        if ((words->given & one->flag) != 0) {
            fb_reply_error(call->reply, "ERR %s is given twice", one->name);
            return false;
        }
        words->given |= one->flag;
        if (one->read != NULL && !one->read(call, one->name, *at + 1, words)) {
            return false;
        }
        *at += one->read != NULL ? 2 : 1;
    }
    return go_together(call, words);
}

bool fb_job_words_all(fb_command_call *call, unsigned allowed, size_t at, fb_job_words *words) {
    if (!fb_job_words_read(call, allowed, &at, words)) {
        return false;
    }
    if (at < call->arg_count) {
        fb_str rest = call->args[at];
        fb_reply_error(call->reply, "ERR syntax error: '%.*s' is no option here",
                       (int)(rest.len < SHOWN ? rest.len : SHOWN), rest.ptr);
        return false;
    }
    return true;
}

bool fb_job_words_id(fb_command_call *call, size_t at, fb_str *queue, uint64_t *number) {
    fb_str id = call->args[at];
    fb_str of;
    int len = (int)(id.len < SHOWN ? id.len : SHOWN);
    if (fb_job_id_parse(id, &of, number) != FB_OK) {
        fb_reply_error(call->reply, "ERR '%.*s' is no id of a job, such as default.64", len, id.ptr);
        return false;
    }
    if (queue->len > 0 && !fb_str_equal(*queue, of)) {
        fb_reply_error(call->reply, "ERR '%.*s' is no job of queue '%.*s'", len, id.ptr,
                       (int)(queue->len < SHOWN ? queue->len : SHOWN), queue->ptr);
        return false;
    }
    *queue = of;
    return true;
}

bool fb_job_words_token(fb_command_call *call, size_t at, uint64_t *token) {
    int64_t number;
    if (fb_str_int(call->args[at], &number) != FB_OK || number < 0) {
        fb_reply_error(call->reply, "ERR the token is not one that FB.RESERVE gave");
        return false;
    }
    *token = (uint64_t)number;
    return true;
}
