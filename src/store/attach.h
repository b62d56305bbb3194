// store/attach.h -- mapping a region that somebody else made.

#ifndef FB_STORE_ATTACH_H
#define FB_STORE_ATTACH_H

#include "store/mapping.h"

// Maps the region in the file, if its header says nothing impossible and asks for no other boot or
// format. The handle takes `fd` over where it is for writing. FB_OK, FB_EINVAL, FB_ENOMEM, FB_EIO;
// after an error the handle is as before, and `fd` is the caller's.
FB_CHECK_RESULT int fb_attach_map(fb_store *store, int fd, bool read_only,
                                  const fb_store_options *expected, fb_error *error);
#endif
