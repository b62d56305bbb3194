// node/command_details.h -- what COMMAND tells routers and proxies beside the table: hints how to
// ask several servers, and what a command does with each of its keys. Redis's own words.

#ifndef FB_NODE_COMMAND_DETAILS_H
#define FB_NODE_COMMAND_DETAILS_H

#include "node/command.h"

#ifdef __cplusplus
extern "C" {
#endif

// "request_policy:all_shards response_policy:agg_sum"; "" where there are none.
const char *fb_command_tips(const fb_command *command);
// "RW access update": what it does with its keys. Several, with a "/" between, are for one key
// each. "" where it has no keys.
const char *fb_command_key_flags(const fb_command *command);
// The same as this call has it: SET with GET reads, and without writes only.
const char *fb_command_key_flags_of(const fb_command *command, const fb_str *args,
                                    size_t arg_count);

#ifdef __cplusplus
}
#endif

#endif
