// config/environment.h -- one variable of the environment into a configuration.

#ifndef FB_CONFIG_ENVIRONMENT_H
#define FB_CONFIG_ENVIRONMENT_H

#include "config/read.h"

#ifdef __cplusplus
extern "C" {
#endif

// Applies those of a NULL-terminated list that other programs beside us go by: REDIS_URL, or where
// that is not set REDIS_HOST, REDIS_PORT and REDIS_DB; REDIS_USER, REDIS_PASSWORD; SMTP_URL.
FB_CHECK_RESULT int fb_environment_read_usual(const fb_reading *reading,
                                              const char *const *environment);
// Applies "NAME=value" where NAME begins with FOREBAY_ and the value is not empty; see
// fb_config_environment(). FB_EINVAL: it names no option, or could name several.
FB_CHECK_RESULT int fb_environment_read(const fb_reading *reading, fb_str variable);

#ifdef __cplusplus
}
#endif

#endif
