// Groups by name. What the system's database wants for one group with many members is not known
// beforehand; 64 KiB are some thousand names.

#include "os/group.h"

#include <grp.h>

#include "base/error.h"

int fb_group_find(const char *name, uint32_t *group, fb_error *error) {
    *group = FB_GROUP_NONE;
    if (name == NULL || name[0] == '\0') {
        return FB_OK;
    }
    char room[65536];
    struct group info;
    struct group *found = NULL;
    int number = getgrnam_r(name, &info, room, sizeof room, &found);
    if (number != 0 || found == NULL) {
        return fb_error_set(error, FB_EINVAL, "there is no group \"%s\"", name);
    }
    *group = found->gr_gid;
    return FB_OK;
}
