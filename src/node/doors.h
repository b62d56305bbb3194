// node/doors.h -- what the doors keep to: how many clients, how much of them may wait, how long
// they may be silent. The figures stand in fb_node.doors and are read while they are changed; here
// is how they get there: from the configuration at start and with each reload, and by Redis's names
// for CONFIG.
//
// Redis's names are maxclients, timeout, tcp-keepalive, client-query-buffer-limit,
// proto-max-bulk-len, tracking-table-max-keys and client-output-buffer-limit, of which the class
// `normal` alone is there. Threads: any.

#ifndef FB_NODE_DOORS_H
#define FB_NODE_DOORS_H

#include "node/node.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_DOORS_TEXT_SIZE = 96 };

// All that the configuration says of them. What CONFIG SET said before is forgotten.
void fb_doors_read(fb_node *node, const fb_config *config);
// FB_OK; FB_MISS: no such name; FB_EINVAL: `error` in Redis's words ("argument must be between 1
// and 1000000 inclusive"). `name` in any case.
FB_CHECK_RESULT int fb_doors_set(fb_node *node, fb_str name, fb_str value, fb_error *error);
// The same without doing it: for a command that changes all of several or none.
FB_CHECK_RESULT int fb_doors_check(const fb_node *node, fb_str name, fb_str value, fb_error *error);
// The same, as options of the configuration and their values ("listen.idle", "30s"): `fn` is called
// for each, once all of it is known to be right.
typedef void (*fb_doors_option_fn)(void *arg, const char *path, const char *value);
FB_CHECK_RESULT int fb_doors_options(const fb_node *node, fb_str name, fb_str value,
                                     fb_doors_option_fn fn, void *arg, fb_error *error);
// "512", "64mb", as Redis writes bytes. FB_OK, FB_EINVAL.
FB_CHECK_RESULT int fb_doors_bytes(fb_str text, uint64_t *bytes);
// As CONFIG GET shows it. FB_OK, FB_MISS.
FB_CHECK_RESULT int fb_doors_show(const fb_node *node, fb_str name, char text[FB_DOORS_TEXT_SIZE]);
// All names, one after the other; NULL: no more.
const char *fb_doors_name(size_t index);

#ifdef __cplusplus
}
#endif

#endif
