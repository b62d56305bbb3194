// One row for each word: its name, the flag, and who reads what follows it.

#include "node/words.h"

#include "base/str.h"

static bool positive(fb_command_call *call, const char *word, size_t at, int64_t *number) {
    if (at >= call->arg_count || fb_str_int(call->args[at], number) != FB_OK || *number <= 0) {
        fb_reply_error(call->reply, "ERR %s needs a positive integer", word);
        return false;
    }
    return true;
}

// Each is called with *at behind its word, and leaves it behind its value.

static bool read_wait(fb_command_call *call, size_t *at, fb_words *words) {
    static const struct {
        const char *word;
        fb_reach reach;
    } levels[] = {{"LOCAL", FB_REACH_LOCAL},
                  {"REDIS", FB_REACH_SHARED},
                  {"SHARED", FB_REACH_SHARED},
                  {"NODES", FB_REACH_NODES}};
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        if (*at < call->arg_count && fb_command_word(call, *at, levels[i].word)) {
            words->reach = levels[i].reach;
            (*at)++;
            return true;
        }
    }
    fb_reply_error(call->reply, "ERR WAIT needs LOCAL, REDIS or NODES");
    return false;
}

static bool read_timeout(fb_command_call *call, size_t *at, fb_words *words) {
    return positive(call, "TIMEOUT", (*at)++, &words->timeout_ms);
}

static bool read_lease(fb_command_call *call, size_t *at, fb_words *words) {
    return positive(call, "LEASE", (*at)++, &words->lease_ms);
}

static bool read_px(fb_command_call *call, size_t *at, fb_words *words) {
    return positive(call, "PX", (*at)++, &words->ttl_ms);
}

static bool read_ex(fb_command_call *call, size_t *at, fb_words *words) {
    if (!positive(call, "EX", (*at)++, &words->ttl_ms)) {
        return false;
    }
    if (__builtin_mul_overflow(words->ttl_ms, 1000, &words->ttl_ms)) {
        fb_reply_error(call->reply, "ERR EX is out of range");
        return false;
    }
    return true;
}

static bool read_srcver(fb_command_call *call, size_t *at, fb_words *words) {
    int64_t version;
    if (!positive(call, "SRCVER", (*at)++, &version)) {
        return false;
    }
    words->source_version = (uint64_t)version;
    return true;
}

static bool read_minseq(fb_command_call *call, size_t *at, fb_words *words) {
    if (*at >= call->arg_count) {
        fb_reply_error(call->reply, "ERR MINSEQ needs a token");
        return false;
    }
    words->after = call->args[(*at)++];
    return true;
}

static bool read_tags(fb_command_call *call, size_t *at, fb_words *words) {
    int64_t count;
    if (!positive(call, "TAGS", (*at)++, &count)) {
        return false;
    }
    if (count > FB_TAGS_MAX || (size_t)count > call->arg_count - *at) {
        fb_reply_error(call->reply, "ERR TAGS needs a count of at most %d, and so many tags",
                       FB_TAGS_MAX);
        return false;
    }
    for (size_t i = 0; i < (size_t)count; i++) {
        words->tags[i] = call->args[(*at)++];
    }
    words->tag_count = (size_t)count;
    return true;
}

static bool read_cost(fb_command_call *call, size_t *at, fb_words *words) {
    int64_t cost;
    size_t place = (*at)++;
    if (place >= call->arg_count || fb_str_int(call->args[place], &cost) != FB_OK || cost < 0 ||
        cost > (int64_t)FB_LIMIT_COST_MAX) {
        fb_reply_error(call->reply, "ERR COST needs an integer from 0 to %u", FB_LIMIT_COST_MAX);
        return false;
    }
    words->cost = (uint32_t)cost;
    return true;
}

static bool read_tier(fb_command_call *call, size_t *at, fb_words *words) {
    if (*at >= call->arg_count) {
        fb_reply_error(call->reply, "ERR TIER needs a name");
        return false;
    }
    words->tier = call->args[(*at)++];
    return true;
}

static bool read_for(fb_command_call *call, size_t *at, fb_words *words) {
    return positive(call, "FOR", (*at)++, &words->for_ms);
}

static bool read_life(fb_command_call *call, size_t *at, fb_words *words) {
    return positive(call, "TTL", (*at)++, &words->life_ms);
}

static bool read_nothing(fb_command_call *call, size_t *at, fb_words *words) {
    (void)call, (void)at, (void)words;
    return true;
}

typedef struct word {
    const char *name;
    unsigned flag;
    bool (*read)(fb_command_call *call, size_t *at, fb_words *words);
} word;

static const word WORDS[] = {
    {"SOFT", FB_WORD_SOFT, read_nothing},      {"WAIT", FB_WORD_WAIT, read_wait},
    {"TIMEOUT", FB_WORD_TIMEOUT, read_timeout}, {"SRCVER", FB_WORD_SRCVER, read_srcver},
    {"MINSEQ", FB_WORD_MINSEQ, read_minseq},   {"LEASE", FB_WORD_LEASE, read_lease},
    {"PX", FB_WORD_TTL, read_px},              {"EX", FB_WORD_TTL, read_ex},
    {"TAGS", FB_WORD_TAGS, read_tags},         {"COST", FB_WORD_COST, read_cost},
    {"TIER", FB_WORD_TIER, read_tier},         {"PEEK", FB_WORD_PEEK, read_nothing},
    {"FOR", FB_WORD_FOR, read_for},            {"TTL", FB_WORD_LIFE, read_life},
};

static const word *find(const fb_command_call *call, unsigned allowed, size_t at) {
    for (size_t i = 0; i < sizeof WORDS / sizeof WORDS[0] && at < call->arg_count; i++) {
        if ((allowed & WORDS[i].flag) != 0 && fb_command_word(call, at, WORDS[i].name)) {
            return &WORDS[i];
        }
    }
    return NULL;
}

bool fb_words_read(fb_command_call *call, unsigned allowed, size_t *at, fb_words *words) {
    *words = (fb_words){.cost = 1};
    for (const word *one = find(call, allowed, *at); one != NULL; one = find(call, allowed, *at)) {
        if ((words->given & one->flag) != 0) {
            fb_reply_error(call->reply, "ERR %s is given twice", one->name);
            return false;
        }
        words->given |= one->flag;
        (*at)++;
        if (!one->read(call, at, words)) {
            return false;
        }
    }
    return true;
}

bool fb_words_token(fb_str text, uint64_t *token) {
    *token = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9' ||
            __builtin_mul_overflow(*token, (uint64_t)10, token) ||
            __builtin_add_overflow(*token, (uint64_t)(text.ptr[i] - '0'), token)) {
            return false;
        }
    }
    return text.len > 0;
}
