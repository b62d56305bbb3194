// Option words first, then the class or the scope, then names and values of any kind.

#include "node/cache_words.h"

#include "base/str.h"
#include "node/words.h"

static void wrong_number(fb_command_call *call) {
    fb_reply_error(call->reply, "ERR wrong number of arguments for '%s' command",
                   call->command->name);
}

// ---- FB.FETCH, FB.MFETCH, FB.KEY

// The options up to the class; *at is then behind it.
static bool read_options(fb_command_call *call, fb_request *request, bool *with_meta, size_t *at) {
    for (*at = 1; *at < call->arg_count; ++*at) {
        if (fb_command_word(call, *at, "REFRESH")) {
            request->refresh = true;
        } else if (fb_command_word(call, *at, "WITHMETA")) {
            *with_meta = true;
        } else if (fb_command_word(call, *at, "MINSEQ") && *at + 1 < call->arg_count) {
            request->after = call->args[++*at];
        } else if (fb_command_word(call, *at, "TIMEOUT") && *at + 1 < call->arg_count) {
            if (!fb_command_int(call, ++*at, &request->timeout_ms)) {
                return false;
            }
            if (request->timeout_ms <= 0) {
                fb_reply_error(call->reply, "ERR timeout is not positive");
                return false;
            }
        } else {
            *at += fb_command_word(call, *at, "CLASS") && *at + 1 < call->arg_count ? 1 : 0;
            break;
        }
    }
    if (*at >= call->arg_count) {
        wrong_number(call);
        return false;
    }
    request->class_name = call->args[(*at)++];
    return true;
}

// The parameters are a kilobyte or two, and not worth clearing for each question.
static void begin(fb_fetch_words *words) {
    words->request = (fb_request){.params = words->params};
    words->with_meta = false;
}

bool fb_cache_words_fetch(fb_command_call *call, fb_fetch_words *words) {
    size_t at;
    begin(words);
    return read_options(call, &words->request, &words->with_meta, &at) &&
           fb_command_params(call, at, words->params, &words->request.param_count);
}

bool fb_cache_words_key(fb_command_call *call, fb_fetch_words *words) {
    size_t at = fb_command_word(call, 1, "CLASS") && call->arg_count > 2 ? 2 : 1;
    begin(words);
    words->request.class_name = call->args[at];
    return fb_command_params(call, at + 1, words->params, &words->request.param_count);
}

// How many names there are, from `at` on; then the names, then rows of as many values.
static bool read_table(fb_command_call *call, size_t at, fb_mfetch_words *words) {
    int64_t names = 0;
    if (at >= call->arg_count) {
        wrong_number(call);
        return false;
    }
    if (!fb_command_int(call, at++, &names)) {
        return false;
    }
    if (names < 1 || names > FB_COMMAND_PARAMS_MAX) {
        fb_reply_error(call->reply, "ERR the number of names is from 1 to %d",
                       FB_COMMAND_PARAMS_MAX);
        return false;
    }
    words->name_count = (size_t)names;
    size_t left = call->arg_count - at;
    if (left < 2 * words->name_count || left % words->name_count != 0) {
        fb_reply_error(call->reply,
                       "ERR after the names come rows of as many values, at least one");
        return false;
    }
    words->names = call->args + at;
    words->values = words->names + words->name_count;
    words->row_count = left / words->name_count - 1;
    return true;
}

bool fb_cache_words_mfetch(fb_command_call *call, fb_mfetch_words *words) {
    size_t at;
    *words = (fb_mfetch_words){.with_meta = false};
    return read_options(call, &words->request, &words->with_meta, &at) &&
           read_table(call, at, words);
}

void fb_cache_words_row(const fb_mfetch_words *words, size_t row, fb_param *params) {
    for (size_t i = 0; i < words->name_count; i++) {
        params[i] = (fb_param){words->names[i], words->values[row * words->name_count + i]};
    }
}

// ---- FB.WARM

static bool read_top(fb_command_call *call, fb_warm_words *words) {
    int64_t count = 0;
    if (!fb_command_int(call, 3, &count)) {
        return false;
    }
    if (count < 0 || count > UINT32_MAX) {
        fb_reply_error(call->reply, "ERR count is out of range");
        return false;
    }
    words->fetch.request.class_name = call->args[2];
    words->count = (uint32_t)count;
    return true;
}

bool fb_cache_words_warm(fb_command_call *call, fb_warm_words *words) {
    words->top = fb_command_word(call, 1, "TOP") && call->arg_count == 4;
    words->count = 0;
    begin(&words->fetch);
    return words->top ? read_top(call, words) : fb_cache_words_key(call, &words->fetch);
}

// ---- FB.INVALIDATE

static bool read_scope(const fb_command_call *call, size_t index, fb_scope *scope) {
    static const struct {
        const char *word;
        fb_scope scope;
    } words[] = {
        {"KEY", FB_SCOPE_KEY},     {"PATTERN", FB_SCOPE_PATTERN},     {"TAG", FB_SCOPE_TAG},
        {"CLASS", FB_SCOPE_CLASS}, {"NAMESPACE", FB_SCOPE_NAMESPACE}, {"ALL", FB_SCOPE_ALL},
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (fb_command_word(call, index, words[i].word)) {
            *scope = words[i].scope;
            return true;
        }
    }
    return false;
}

bool fb_cache_words_invalidate(fb_command_call *call, fb_invalidate_words *words) {
    fb_words options;
    size_t at = 1;
    *words = (fb_invalidate_words){.wait_given = false};
    if (!fb_words_read(call, FB_WORD_SOFT | FB_WORD_WAIT | FB_WORD_TIMEOUT | FB_WORD_SRCVER, &at,
                       &options)) {
        return false;
    }
    words->what.soft = (options.given & FB_WORD_SOFT) != 0;
    words->wait_given = (options.given & FB_WORD_WAIT) != 0;
    words->options = (fb_invalidate_options){.reach = options.reach,
                                             .timeout_ms = options.timeout_ms,
                                             .source_version = options.source_version};
    if (at >= call->arg_count || !read_scope(call, at, &words->what.scope)) {
        fb_reply_error(call->reply, "ERR scope must be KEY, PATTERN, TAG, CLASS, NAMESPACE or ALL");
        return false;
    }
    words->first_name = at + 1;
    if ((words->what.scope == FB_SCOPE_ALL) != (words->first_name == call->arg_count)) {
        wrong_number(call);
        return false;
    }
    if (options.source_version > 0 && words->what.scope != FB_SCOPE_KEY) {
        fb_reply_error(call->reply, "ERR SRCVER goes with KEY");
        return false;
    }
    return true;
}
