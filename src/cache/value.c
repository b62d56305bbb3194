// Values in the hands of callers: their bytes are a blob, which whoever released them last frees.

#include <forebay/cache.h>

#include "base/blob.h"

void fb_value_release(fb_value *value) {
    fb_blob_drop(value->owner);
    *value = (fb_value){0};
}
