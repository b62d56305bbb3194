// SLOWLOG, in Redis's shape: an entry's words are the name and, as one, what it was asked (node/slow.h);
// behind the client's address, where Redis has its name, stands what was waited for.

#include "node/command_table.h"

#include "base/mem.h"
#include "base/str.h"
#include "node/slow.h"

enum { SHOWN = 10 };

static void say_entry(fb_reply *reply, const fb_slow_entry *one) {
    fb_reply_array(reply, 6);
    fb_reply_integer(reply, (int64_t)one->id);
    fb_reply_integer(reply, one->wall_s);
    fb_reply_integer(reply, one->took_us);
    fb_reply_array(reply, one->what[0] != '\0' ? 2 : 1);
    fb_reply_text(reply, one->name);
    if (one->what[0] != '\0') {
        fb_reply_text(reply, one->what);
    }
    fb_reply_text(reply, one->peer);
    fb_reply_text(reply, one->waited_for);
}

void fb_slowlog_get(fb_command_call *call) {
    int64_t count = SHOWN;
    if (call->arg_count > 3) {
        fb_reply_error(call->reply, "ERR wrong number of arguments for 'slowlog|get' command");
        return;
    }
    if (call->arg_count == 3 && !fb_command_int(call, 2, &count)) {
        return;
    }
    if (count < -1) {
        fb_reply_error(call->reply, "ERR count should be greater than or equal to -1");
        return;
    }
    count = count < 0 || count > FB_SLOW_KEPT ? FB_SLOW_KEPT : count;
    fb_slow_entry *entries = fb_mem_new(FB_SLOW_KEPT * sizeof *entries);
    if (entries == NULL) {
        fb_command_failed(call, FB_ENOMEM, NULL);
        return;
    }
    size_t found = fb_slow_read(call->node, entries, (size_t)count);
    fb_reply_array(call->reply, found);
    for (size_t i = 0; i < found; i++) {
        say_entry(call->reply, &entries[i]);
    }
    fb_mem_free(entries);
}

void fb_slowlog_len(fb_command_call *call) {
    fb_reply_integer(call->reply, (int64_t)fb_slow_count(call->node));
}

void fb_slowlog_reset(fb_command_call *call) {
    fb_slow_reset(call->node);
    fb_reply_status(call->reply, "OK");
}

void fb_slowlog_help(fb_command_call *call) {
    fb_command_help(call, "SLOWLOG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
                    FB_COMMANDS_SLOWLOG);
}
