// config/state.h -- what an fb_config is inside.

#ifndef FB_CONFIG_STATE_H
#define FB_CONFIG_STATE_H

#include "config/marks.h"
#include "config/settings.h"

#ifdef __cplusplus
extern "C" {
#endif

struct fb_config {
    fb_settings settings;
    fb_option_marks marks;
};

#ifdef __cplusplus
}
#endif

#endif
