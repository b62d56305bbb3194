// cli/tls.h -- TLS for the links of the program (client/link.h).

#ifndef FB_CLI_TLS_H
#define FB_CLI_TLS_H

#include "client/link.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const fb_link_tls FB_CLI_TLS;

#ifdef __cplusplus
}
#endif

#endif
