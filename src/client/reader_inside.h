// client/reader_inside.h -- what the client may do with a reader beside forebay/reader.h.

#ifndef FB_CLIENT_READER_INSIDE_H
#define FB_CLIENT_READER_INSIDE_H

#include <forebay/reader.h>

#ifdef __cplusplus
extern "C" {
#endif

// It looks for no other region under the name any more.
void fb_reader_stay(fb_reader *reader);
// From now on every get is a miss, and the region's memory is given back. Gets may be under way.
void fb_reader_leave(fb_reader *reader);

#ifdef __cplusplus
}
#endif

#endif
