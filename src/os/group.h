// os/group.h -- groups of users, by name.

#ifndef FB_OS_GROUP_H
#define FB_OS_GROUP_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FB_GROUP_NONE UINT32_MAX

// FB_OK; no name, or an empty one, is FB_GROUP_NONE. FB_EINVAL: there is no such group.
FB_CHECK_RESULT int fb_group_find(const char *name, uint32_t *group, fb_error *error);

#ifdef __cplusplus
}
#endif

#endif
