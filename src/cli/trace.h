// cli/trace.h -- traces: requests of a cache, one after another, in two formats.
//
// text: one key a line, optionally ",size" behind it (the last comma counts). Empty lines are left
// out; a carriage return at a line's end is none of the key's.
// oracleGeneral (libCacheSim): little-endian records of 24 bytes: u32 time, u64 id, u32 size, i64
// next access. Time and next access are not used.

#ifndef FB_CLI_TRACE_H
#define FB_CLI_TRACE_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fb_trace_format { FB_TRACE_DETECT, FB_TRACE_TEXT, FB_TRACE_ORACLE } fb_trace_format;

// Keys are numbered from 0 in the order of their first request. (Texts are told apart by 64 bits of
// hash.)
typedef struct fb_trace {
    uint32_t *keys;
    uint32_t *sizes;  // of the object, at each request; NULL: the trace has none
    size_t count;
    uint32_t distinct;
    uint64_t bytes;  // of all distinct objects, as large as at their first request
} fb_trace;

// By the name ("oracleGeneral", ".bin") or else by the first bytes; never FB_TRACE_DETECT.
fb_trace_format fb_trace_detect(const char *name, fb_str bytes);
// FB_OK. FB_ETYPE: not of that format, error->line says which line or record, counted from 1.
// FB_ETOOBIG: more than 2^32 distinct keys; FB_ENOMEM. What was made of it is to be released.
FB_CHECK_RESULT int fb_trace_parse(fb_str bytes, fb_trace_format format, fb_trace *trace,
                                   fb_error *error);
void fb_trace_release(fb_trace *trace);

#ifdef __cplusplus
}
#endif

#endif
