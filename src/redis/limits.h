// redis/limits.h -- limit/port.h over Redis or Valkey: one script, on the connections of a remote.
//
// Keys, for a namespace "forebay", key "user:42", rule "generation", tier "premium":
//   forebay:{l:user:42}:generation:premium:r60000000   the state (limit/plan.h), with a TTL
//   forebay:{l:user:42}:generation:!                   an override, with a TTL
//   forebay:{l:user:42}:generation:s                   leases: a sorted set, token by its end
// (the tier is empty where there is none; names are letters, digits, underscores, so no two meet,
// whatever a key's bytes; a namespace has no colon, so they are no part of a log's). All of one key
// lie in one slot: what decides it ends at the key's first `}`, which all have in common. A check
// costs one command, whatever it is allowed or denied. A denial and a peek write nothing.
//
// Where the server is known to be away send() says FB_EIO at once. UNKNOWN: a charge, a refund or a
// release that went out and was not answered, which is never sent twice; what a server cannot do
// yet (a Cluster that moves the slot, loading) is asked again within the timeout, and then FAILED.
//
// Threads: the remote's loop.

#ifndef FB_REDIS_LIMITS_H
#define FB_REDIS_LIMITS_H

#include "limit/port.h"
#include "redis/remote.h"

#ifdef __cplusplus
extern "C" {
#endif

// Good as long as the remote.
fb_limit_port *fb_remote_limit_port(fb_remote *remote);
// Each server is judged by itself (a Cluster): that one does not answer says nothing of the others.
bool fb_remote_limits_in_parts(const fb_remote *remote);

#ifdef __cplusplus
}
#endif

#endif
