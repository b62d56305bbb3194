// Where keys stand is in the command table, but for those that move: FB.LIMITS has them behind a count,
// each after its rule, FB.INVALIDATE behind its options and the word KEY.

#include "node/command_keys.h"

#include <string.h>

#include "base/str.h"
#include "node/cache_words.h"

static bool of_limits(const fb_command_call *call, fb_key_places *keys) {
    int64_t count;
    if (fb_str_int(call->args[1], &count) != FB_OK || count < 1 ||
        count > (int64_t)(call->arg_count - 2) / 2) {
        return false;
    }
    *keys = (fb_key_places){3, 2, (size_t)count};
    return true;
}

static bool of_invalidate(const fb_command_call *call, fb_key_places *keys) {
    fb_reply unheard;
    fb_command_call asked = *call;
    fb_invalidate_words words;
    fb_reply_init_unheard(&unheard);
    asked.reply = &unheard;
    if (!fb_cache_words_invalidate(&asked, &words)) {
        return false;
    }
    bool named = words.what.scope == FB_SCOPE_KEY;
    *keys = (fb_key_places){words.first_name, 1, named ? call->arg_count - words.first_name : 0};
    return true;
}

bool fb_command_keys(const fb_command_call *call, fb_key_places *keys) {
    const fb_command *command = call->command;
    *keys = (fb_key_places){0, 1, 0};
    if ((command->flags & FB_COMMAND_MOVABLEKEYS) != 0) {
        return strcmp(command->name, "fb.invalidate") == 0 ? of_invalidate(call, keys)
                                                           : of_limits(call, keys);
    }
    if (command->first_key == 0) {
        return true;
    }
    size_t first = (size_t)command->first_key;
    size_t step = (size_t)command->key_step;
    size_t last = command->last_key < 0 ? call->arg_count - (size_t)-command->last_key
                                        : (size_t)command->last_key;
    *keys = (fb_key_places){first, step, (last - first) / step + 1};
    return last < call->arg_count;
}
