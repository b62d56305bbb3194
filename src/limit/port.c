// Overrides as bytes: as they stand in the shared tier.

#include "limit/port.h"

#include "limit/forms.h"

_Static_assert(FB_LIMIT_OVERRIDE_BYTES == 6, "kind, 0, limit");

void fb_limit_override_write(const fb_limit_override *override, unsigned char *bytes) {
    bytes[0] = (unsigned char)override->kind;
    bytes[1] = 0;
    fb_limit_put32(bytes + 2, override->limit);
}

int fb_limit_override_read(fb_str bytes, fb_limit_override *override) {
    const unsigned char *at = (const unsigned char *)bytes.ptr;

    if (bytes.len != FB_LIMIT_OVERRIDE_BYTES || at[0] < FB_LIMIT_OVERRIDE_LIMIT ||
        at[0] > FB_LIMIT_OVERRIDE_DENY || at[1] != 0) {
        return FB_ESYNTAX;
    }
    uint32_t limit = fb_limit_get32(at + 2);
    if (at[0] == FB_LIMIT_OVERRIDE_LIMIT && (limit == 0 || limit > INT32_MAX)) {
        return FB_ESYNTAX;
    }
    *override = (fb_limit_override){.kind = (fb_limit_override_kind)at[0], .limit = limit};
    return FB_OK;
}
