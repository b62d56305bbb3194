// wire/resp.h -- RESP2 and RESP3 over byte buffers, both directions. No I/O, no socket, no copy of
// bulk strings: what comes out of a reader points into the caller's input.
//
// Standard: the RESP specification of Redis (protocol versions 2 and 3).
// Parsers return > 0: bytes used; 0: need more input; < 0: an error of forebay/base.h, with text.
// They are incremental: called again with the same bytes and more behind them they go on where they
// stopped (no work is done twice), and the caller may move the input between calls. The result does
// not depend on how the input was cut. Threads: one at a time on one object.

#ifndef FB_WIRE_RESP_H
#define FB_WIRE_RESP_H

#include <forebay/base.h>

#include <sys/types.h>

#include "base/buf.h"

#ifdef __cplusplus
extern "C" {
#endif

// ---- commands: what a server reads

typedef struct fb_resp_limits {
    uint32_t arg_count_max;  // elements of one command
    uint64_t bulk_len_max;   // bytes of one argument
    uint64_t query_len_max;  // bytes of one command in all
    uint32_t inline_len_max; // bytes of one inline command's line
} fb_resp_limits;

extern const fb_resp_limits FB_RESP_LIMITS_DEFAULT;  // 1 Mi args, 512 MiB, 1 GiB, 64 KiB as Redis

// Zero-initialise; release it. Its memory grows with what has arrived, never with what a peer
// merely announces, and is kept for the next command while it is small.
typedef struct fb_resp_command {
    fb_str *args;      // out: the arguments, good until the next call; into the input given to the
                       // call that returned > 0 (a quoted inline argument: into `unquoted`)
    size_t arg_count;  // out: 0 unless the last call returned > 0
    // private: progress. Positions count from the input's start.
    int phase;
    size_t args_cap;
    size_t got, expected;     // arguments
    size_t pos;               // everything before it is read
    size_t scanned;           // no line end before it
    size_t seen;              // input length of the last call
    size_t bulk_len;          // of the argument being read
    fb_buf unquoted;
} fb_resp_command;

// Reads one command, multi-bulk or inline (quoting as redis-cli). An empty line or a count of 0 or
// less is a command of no arguments. After an error the connection is of no more use: FB_ESYNTAX or
// FB_ETOOBIG (a limit), `error->text` being Redis's own "Protocol error: …" words without the
// leading "ERR "; FB_ENOMEM may be tried again. Stricter than Redis in one thing: number lines
// and arguments must end in CR LF.
ssize_t fb_resp_command_read(fb_resp_command *command, fb_str input, const fb_resp_limits *limits,
                             fb_error *error);
// Forgets progress, for the next command. (The reader does it itself after returning > 0.)
void fb_resp_command_reset(fb_resp_command *command);
void fb_resp_command_release(fb_resp_command *command);
// Bytes after the input's end that the command in progress still needs at the least (>= 1): a hint
// for the size of the next read. It repeats what the peer announced: take it as an upper bound, and
// allocate no more than in proportion to what has arrived.
size_t fb_resp_command_wants(const fb_resp_command *command);

// ---- values: what a client reads

typedef enum fb_resp_type {
    FB_RESP_STRING,     // bulk
    FB_RESP_SIMPLE,     // +OK
    FB_RESP_ERROR,      // - and the RESP3 bulk error
    FB_RESP_INTEGER,
    FB_RESP_NULL,
    FB_RESP_DOUBLE,
    FB_RESP_BOOLEAN,
    FB_RESP_BIGNUMBER,  // text
    FB_RESP_VERBATIM,   // text after its "txt:" or "mkd:"
    FB_RESP_ARRAY,
    FB_RESP_MAP,        // child_count is twice the number of pairs
    FB_RESP_SET,
    FB_RESP_PUSH
} fb_resp_type;

typedef struct fb_resp_value {
    fb_resp_type type;
    fb_str text;        // of the text types, into the input
    int64_t integer;    // INTEGER, and BOOLEAN as 0 or 1
    double number;      // DOUBLE
    struct fb_resp_value *children;
    size_t child_count;
} fb_resp_value;

// Reads values of at most `len_max` bytes each, nested at most `depth_max` deep (a value that holds
// no other has depth 0; attributes count too).
typedef struct fb_resp_reply fb_resp_reply;
FB_CHECK_RESULT int fb_resp_reply_new(uint32_t depth_max, uint64_t len_max, fb_resp_reply **reply);
void fb_resp_reply_free(fb_resp_reply *reply);
// Forgets progress: for a new connection.
void fb_resp_reply_reset(fb_resp_reply *reply);
// Reads one value; *value (good until the next call with `reply`) points into `input`; it is NULL
// unless the call returns > 0. Attributes (RESP3 '|') are read and passed over; "$-1" and "*-1" are
// FB_RESP_NULL; the streamed types are refused. FB_ESYNTAX, FB_ETOOBIG (after both the connection
// is of no more use), FB_ENOMEM (may be tried again).
ssize_t fb_resp_reply_read(fb_resp_reply *reply, fb_str input, const fb_resp_value **value,
                           fb_error *error);

// ---- writing, both sides. `proto` is 2 or 3; what RESP2 lacks is written as Redis does
// (map → flat array, double → bulk, boolean → integer, null → null bulk). FB_OK or FB_ENOMEM, and
// then nothing was written.

// In the text of these two CR and LF become spaces.
FB_CHECK_RESULT int fb_resp_write_simple(fb_buf *out, fb_str text);
FB_CHECK_RESULT int fb_resp_write_error(fb_buf *out, fb_str text);
FB_CHECK_RESULT int fb_resp_write_integer(fb_buf *out, int64_t number);
FB_CHECK_RESULT int fb_resp_write_bulk(fb_buf *out, fb_str bytes);
FB_CHECK_RESULT int fb_resp_write_null(fb_buf *out, int proto);
FB_CHECK_RESULT int fb_resp_write_null_array(fb_buf *out, int proto);
FB_CHECK_RESULT int fb_resp_write_array(fb_buf *out, size_t count);
FB_CHECK_RESULT int fb_resp_write_map(fb_buf *out, int proto, size_t pair_count);
FB_CHECK_RESULT int fb_resp_write_set(fb_buf *out, int proto, size_t count);
FB_CHECK_RESULT int fb_resp_write_push(fb_buf *out, int proto, size_t count);
// The shortest decimal that reads back as the same number; inf, -inf, nan.
FB_CHECK_RESULT int fb_resp_write_double(fb_buf *out, int proto, double number);
FB_CHECK_RESULT int fb_resp_write_boolean(fb_buf *out, int proto, bool truth);
FB_CHECK_RESULT int fb_resp_write_verbatim(fb_buf *out, int proto, fb_str text);  // "txt"
// A command as clients send it: an array of bulk strings.
FB_CHECK_RESULT int fb_resp_write_command(fb_buf *out, const fb_str *args, size_t arg_count);

#ifdef __cplusplus
}
#endif

#endif
