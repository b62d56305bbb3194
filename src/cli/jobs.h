// cli/jobs.h -- what the files of `forebay jobs` share.

#ifndef FB_CLI_JOBS_H
#define FB_CLI_JOBS_H

#include "cli/command_line.h"
#include "wire/resp.h"

#ifdef __cplusplus
extern "C" {
#endif

// The queues as a table, from what FB.QUEUES answered.
int fb_jobs_print_queues(const fb_line *line, const fb_resp_value *queues);
// An option that is a number of at least `least`, or not given (then *number stays). Says so and
// returns false where it is none.
bool fb_jobs_number(const fb_line *line, const char *name, const char *value, int64_t least,
                    int64_t *number);

int fb_jobs_top(const fb_line *line);  // jobs_top.c

#ifdef __cplusplus
}
#endif

#endif
