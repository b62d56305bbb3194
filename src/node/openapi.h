// node/openapi.h -- the schemas that /openapi.json refers to: src/node/openapi.json as it is, put into the
// program by tools/embed-json.

#ifndef FB_NODE_OPENAPI_H
#define FB_NODE_OPENAPI_H

#ifdef __cplusplus
extern "C" {
#endif

extern const char fb_openapi_components[];

#ifdef __cplusplus
}
#endif

#endif
