// Nodes that share a namespace must cut the keys into the same partitions: otherwise each would write
// its records into logs that the other does not look for them in, and both would think themselves
// coherent. The first one writes the number down beside the wide log; whoever finds another stays
// outside, as if the server was away, and says so.
//
// It is looked at whenever the route comes up. An emptied server has no number, so the next who comes
// writes his. What stands in the way of looking (a full server that takes no writes) does not keep
// anybody out.

#include <inttypes.h>
#include <stdio.h>

#include "base/log.h"
#include "base/str.h"
#include "os/clock.h"
#include "redis/remote_state.h"

// What the number that the first node wrote means for us.
static bool is_ours(fb_remote *remote, fb_str number) {
    const fb_redis_options *options = &remote->redis->options;
    int64_t theirs = 0;
    if (fb_str_int(number, &theirs) == FB_OK && theirs == (int64_t)options->partitions) {
        return true;
    }
    snprintf(remote->why, sizeof remote->why,
             "the nodes of namespace '%.64s' have %.*s partitions, this one has redis.partitions: "
             "%" PRIu32,
             options->name_space, (int)(number.len < 20 ? number.len : 20), number.ptr,
             options->partitions);
    return false;
}

static void on_joined(void *arg, fb_conn_outcome outcome, const fb_resp_value *value,
                      const char *why) {
    fb_remote *remote = arg;
    (void)why;
    if (remote->closing || !remote->route_up) {
        return;
    }
    bool told = outcome == FB_CONN_REPLIED && value->type == FB_RESP_STRING;
    remote->joined = !told || is_ours(remote, value->text);
    remote->barred = !remote->joined;
    if (remote->barred && remote->follows) {  // one word for all loops
        fb_log(FB_LOG_ERROR, "redis_partitions_differ", "why=%s",
               fb_log_quote(fb_str_of(remote->why), sizeof remote->why).text);
    }
    fb_remote_tell(remote);
}

void fb_join_ask(fb_remote *remote) {
    const fb_redis *redis = remote->redis;
    const fb_log_name *wide = &redis->logs[redis->options.partitions];
    char key[300];
    char number[16];
    int key_len = snprintf(key, sizeof key, "%.*spartitions", (int)wide->prefix_len, wide->prefix);
    snprintf(number, sizeof number, "%" PRIu32, redis->options.partitions);
    const fb_str args[] = {FB_STR("SET"), {key, (size_t)key_len}, fb_str_of(number), FB_STR("NX"),
                           FB_STR("GET")};
    fb_remote_command command = {.args = args,
                                 .arg_count = 5,
                                 .slot = wide->slot,
                                 .repeatable = true,
                                 .deadline_ns = fb_clock_now_ns() +
                                                redis->options.connect_timeout_ns,
                                 .fn = on_joined,
                                 .arg = remote};
    remote->joined = fb_remote_send(remote, &command) < 0;  // without memory: nobody is kept out
}
