// cli/queue_rows.h -- queues as rows of a table, for `jobs top` and `top`.

#ifndef FB_CLI_QUEUE_ROWS_H
#define FB_CLI_QUEUE_ROWS_H

#include "cli/screen.h"
#include "wire/resp.h"

#ifdef __cplusplus
extern "C" {
#endif

// The names of the columns, behind `front`. FB_OK or FB_ENOMEM.
FB_CHECK_RESULT int fb_queue_rows_head(fb_buf *out, const char *front);
// One of FB.QUEUES' maps. FB_OK or FB_ENOMEM.
FB_CHECK_RESULT int fb_queue_rows_one(fb_buf *out, const char *front, const fb_resp_value *queue,
                                      fb_rates *rates);

#ifdef __cplusplus
}
#endif

#endif
