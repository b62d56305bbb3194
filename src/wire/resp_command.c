// Commands as a server reads them: a machine over a byte buffer that the caller owns.
//
// A command is either an array of bulk strings ("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n") or a line typed
// by hand ("GET k\r\n"); its first byte tells which. The machine keeps positions, not pointers,
// because the caller's buffer may move whenever it grows; only the call that completes a command
// turns the positions into pointers. Until then args[i].ptr holds an offset: one array instead of
// two.
//
// Invariants:
//  - Bytes before `pos` are never looked at again, and those before `scanned` hold no line end: a
//    command fed byte by byte costs as much as one fed at once, plus the calls.
//  - Every decision depends on the bytes alone, not on where a read happened to end. So a limit is
//    tested against the position of a byte, never against the amount that is there; Redis, which
//    tests the latter, answers one and the same input differently from one packet to the next.
//  - `pos` advances only past what was accepted: after an error another call meets the same error.
//
// The number lines of ordinary clients are a few digits, wholly there: read_short_count() takes
// them in one pass. All else (partial lines, signs, nonsense) goes through read_long_count(), which
// finds the line's end first.

#include "wire/resp.h"

#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"

enum {
    ARGS_CAP_MIN = 8,
    ARGS_CAP_KEPT = 1024,         // a longer array is freed when the next command begins
    UNQUOTED_CAP_KEPT = 4096,     // the same for the buffer of quoted words
    SHORT_COUNT_DIGITS_MAX = 9,   // what fits into 32 bits whatever the digits are
    COUNT_LINE_LEN_MIN = 32       // number lines may be this long under any limit
};

enum { PHASE_START, PHASE_COUNT, PHASE_BULK_HEAD, PHASE_BULK_BODY, PHASE_INLINE };

// What reading a number line can come to, beside 1 (read) and 0 (need more).
enum { COUNT_BAD = -1, COUNT_TOO_LONG = -2 };

const fb_resp_limits FB_RESP_LIMITS_DEFAULT = {
    .arg_count_max = 1024 * 1024,
    .bulk_len_max = UINT64_C(512) << 20,
    .query_len_max = UINT64_C(1) << 30,
    .inline_len_max = 64 * 1024,
};

// ---- arguments

static int grow_args(fb_resp_command *command, fb_error *error) {
    size_t cap = command->args_cap == 0 ? ARGS_CAP_MIN : 2 * command->args_cap;
    fb_str *args = fb_mem_resize(command->args, cap * sizeof *args);
    if (args == NULL) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    command->args = args;
    command->args_cap = cap;
    return FB_OK;
}

static int add_arg(fb_resp_command *command, const char *ptr, size_t len, fb_error *error) {
    if (command->got == command->args_cap) {
        int result = grow_args(command, error);
        if (result < 0) {
            return result;
        }
    }
    fb_str *arg = &command->args[command->got++];
    arg->ptr = ptr;
    arg->len = len;
    return FB_OK;
}

// The command ends at `pos`.
static ssize_t finish(fb_resp_command *command) {
    size_t used = command->pos;
    command->arg_count = command->got;
    fb_resp_command_reset(command);
    return (ssize_t)used;
}

// ---- number lines: a mark byte, a number, CR LF

// A line of one to nine digits that is wholly there, at `line`. Returns its length, or 0 where it
// is anything else.
static inline size_t read_short_count(const char *line, size_t avail, size_t *number) {
    uint32_t sum = 0;
    size_t at = 1;
    while (at + 1 < avail && at <= SHORT_COUNT_DIGITS_MAX) {
        uint32_t digit = (uint32_t)(unsigned char)line[at] - '0';
        if (digit > 9) {
            break;
        }
        sum = sum * 10 + digit;
        at++;
    }
    bool zero_led = at > 2 && line[1] == '0';
    if (at == 1 || at + 1 >= avail || line[at] != '\r' || line[at + 1] != '\n' || zero_led) {
        return 0;
    }
    *number = sum;
    return at + 2;
}

// Any line that starts at `pos`. 1: read, and `pos` is behind it; 0: need more; COUNT_….
static int read_long_count(fb_resp_command *command, fb_str input, const fb_resp_limits *limits,
                           int64_t *number) {
    size_t line_max = limits->inline_len_max;
    if (line_max < COUNT_LINE_LEN_MIN) {
        line_max = COUNT_LINE_LEN_MIN;
    }
    size_t start = command->pos + 1;
    size_t from = command->scanned > start ? command->scanned : start;
    size_t avail = input.len - command->pos;
    size_t end = avail > line_max ? command->pos + line_max : input.len;
    const char *found = from < end ? memchr(input.ptr + from, '\r', end - from) : NULL;
    if (found == NULL) {
        command->scanned = end;
        return avail > line_max ? COUNT_TOO_LONG : 0;
    }
    size_t stop = (size_t)(found - input.ptr);
    command->scanned = stop;
    if (stop + 1 >= input.len) {
        return 0;
    }
    fb_str digits = {input.ptr + start, stop - start};
    if (input.ptr[stop + 1] != '\n' || fb_str_int(digits, number) != FB_OK) {
        return COUNT_BAD;
    }
    command->pos = stop + 2;
    return 1;
}

static inline int read_count(fb_resp_command *command, fb_str input, const fb_resp_limits *limits,
                             int64_t *number) {
    size_t count;
    size_t len = read_short_count(input.ptr + command->pos, input.len - command->pos, &count);
    if (len == 0) {
        return read_long_count(command, input, limits, number);
    }
    command->pos += len;
    *number = (int64_t)count;
    return 1;
}

// ---- multi-bulk commands

static int read_arg_count(fb_resp_command *command, fb_str input, const fb_resp_limits *limits,
                          fb_error *error) {
    int64_t count = 0;
    int result = read_count(command, input, limits, &count);
    if (result == 0) {
        return 0;
    }
    if (result == COUNT_TOO_LONG) {
        return fb_error_set(error, FB_ETOOBIG, "Protocol error: too big mbulk count string");
    }
    if (result == COUNT_BAD || count > (int64_t)limits->arg_count_max) {
        // Not behind the line: another call is to find the same error.
        command->pos = 0;
        return fb_error_set(error, FB_ESYNTAX, "Protocol error: invalid multibulk length");
    }
    command->expected = count > 0 ? (size_t)count : 0;
    command->phase = PHASE_BULK_HEAD;
    return 1;
}

static int refuse_mark(char mark, fb_error *error) {
    if (mark >= ' ' && mark <= '~') {
        return fb_error_set(error, FB_ESYNTAX, "Protocol error: expected '$', got '%c'", mark);
    }
    return fb_error_set(error, FB_ESYNTAX, "Protocol error: expected '$', got '\\x%02x'",
                        (unsigned)(unsigned char)mark);
}

static int read_bulk_head(fb_resp_command *command, fb_str input, const fb_resp_limits *limits,
                          fb_error *error) {
    size_t start = command->pos;
    if (start >= input.len) {
        return 0;
    }
    if (input.ptr[start] != '$') {
        return refuse_mark(input.ptr[start], error);
    }
    int64_t len = 0;
    int result = read_count(command, input, limits, &len);
    if (result == 0) {
        return 0;
    }
    if (result == COUNT_TOO_LONG) {
        return fb_error_set(error, FB_ETOOBIG, "Protocol error: too big bulk count string");
    }
    if (result == COUNT_BAD || len < 0 || (uint64_t)len > limits->bulk_len_max) {
        command->pos = start;
        return fb_error_set(error, FB_ESYNTAX, "Protocol error: invalid bulk length");
    }
    uint64_t room = limits->query_len_max - command->pos;
    if (room < 2 || (uint64_t)len > room - 2) {
        command->pos = start;
        return fb_error_set(error, FB_ETOOBIG, "Protocol error: too big request");
    }
    command->bulk_len = (size_t)len;
    command->phase = PHASE_BULK_BODY;
    return 1;
}

static int read_bulk_body(fb_resp_command *command, fb_str input, fb_error *error) {
    size_t len = command->bulk_len;
    if (input.len - command->pos < len + 2) {
        return 0;
    }
    const char *end = input.ptr + command->pos + len;
    if (end[0] != '\r' || end[1] != '\n') {
        return fb_error_set(error, FB_ESYNTAX, "Protocol error: expected CRLF after bulk");
    }
    // An offset for now: see above.
    int result = add_arg(command, (const char *)(uintptr_t)command->pos, len, error);
    if (result < 0) {
        return result;
    }
    command->pos += len + 2;
    command->phase = PHASE_BULK_HEAD;
    return 1;
}

static ssize_t read_multibulk(fb_resp_command *command, fb_str input, const fb_resp_limits *limits,
                              fb_error *error) {
    int result = 1;
    if (command->phase == PHASE_COUNT) {
        result = read_arg_count(command, input, limits, error);
    }
    while (result > 0 && command->got < command->expected) {
        if (command->phase == PHASE_BULK_HEAD) {
            result = read_bulk_head(command, input, limits, error);
        }
        if (result > 0) {
            result = read_bulk_body(command, input, error);
        }
    }
    if (result <= 0) {
        return result;
    }
    for (size_t i = 0; i < command->got; i++) {
        command->args[i].ptr = input.ptr + (uintptr_t)command->args[i].ptr;
    }
    return finish(command);
}

// ---- inline commands

// The words of a line: what is left of it, and where the unquoted form of a quoted word goes (there
// is room for all of the line).
typedef struct splitter {
    const char *at;
    const char *end;
    char *out;
} splitter;

static bool is_space(char byte) {
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

// Redis ends a plain word at fewer kinds of white space than it skips between words.
static bool ends_word(char byte) {
    return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
}

static int hex_digit(char byte) {
    if (byte >= '0' && byte <= '9') {
        return byte - '0';
    }
    char lower = (char)(byte | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// Behind a backslash within double quotes.
static void read_escape(splitter *words) {
    static const char from[] = "nrtba";
    static const char to[] = "\n\r\t\b\a";
    if (words->end - words->at >= 3 && words->at[0] == 'x') {
        int high = hex_digit(words->at[1]);
        int low = hex_digit(words->at[2]);
        if (high >= 0 && low >= 0) {
            *words->out++ = (char)(high * 16 + low);
            words->at += 3;
            return;
        }
    }
    char byte = *words->at++;
    const char *known = byte != '\0' ? strchr(from, byte) : NULL;
    *words->out++ = known != NULL ? to[known - from] : byte;
}

// From an opening quote to behind the closing one, which must end the word. False: it does not, or
// there is none.
static bool read_quoted(splitter *words) {
    char quote = *words->at++;
    while (words->at < words->end) {
        char byte = *words->at++;
        if (byte == quote) {
            return words->at == words->end || is_space(*words->at);
        }
        bool escapes = byte == '\\' && words->at < words->end;
        if (escapes && quote == '"') {
            read_escape(words);
        } else if (escapes && *words->at == '\'') {
            *words->out++ = *words->at++;
        } else {
            *words->out++ = byte;
        }
    }
    return false;
}

// One word, of which there is at least a byte. False: its quotes are not balanced. A word with
// quotes is written to `out`, another stays where it is.
static bool read_word(splitter *words, fb_str *word) {
    const char *start = words->at;
    char *out = words->out;
    while (words->at < words->end && !ends_word(*words->at)) {
        if (*words->at == '"' || *words->at == '\'') {
            size_t plain = (size_t)(words->at - start);
            memcpy(out, start, plain);
            words->out = out + plain;
            bool closed = read_quoted(words);
            *word = fb_str_make(out, (size_t)(words->out - out));
            return closed;
        }
        words->at++;
    }
    *word = fb_str_make(start, (size_t)(words->at - start));
    return true;
}

static int split_line(fb_resp_command *command, fb_str line, const fb_resp_limits *limits,
                      fb_error *error) {
    command->got = 0;
    command->unquoted.len = 0;
    if (fb_buf_reserve(&command->unquoted, line.len + 1) < 0) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    splitter words = {line.ptr, line.ptr + line.len, command->unquoted.ptr};
    for (;;) {
        while (words.at < words.end && is_space(*words.at)) {
            words.at++;
        }
        if (words.at == words.end) {
            return FB_OK;
        }
        fb_str word;
        if (!read_word(&words, &word)) {
            return fb_error_set(error, FB_ESYNTAX,
                                "Protocol error: unbalanced quotes in request");
        }
        if (command->got == limits->arg_count_max) {
            return fb_error_set(error, FB_ETOOBIG, "Protocol error: too big inline request");
        }
        int result = add_arg(command, word.ptr, word.len, error);
        if (result < 0) {
            return result;
        }
    }
}

static ssize_t read_inline(fb_resp_command *command, fb_str input, const fb_resp_limits *limits,
                           fb_error *error) {
    size_t from = command->scanned;
    size_t end = input.len > limits->inline_len_max ? limits->inline_len_max : input.len;
    const char *found = from < end ? memchr(input.ptr + from, '\n', end - from) : NULL;
    if (found == NULL) {
        command->scanned = end;
        if (input.len > limits->inline_len_max) {
            return fb_error_set(error, FB_ETOOBIG, "Protocol error: too big inline request");
        }
        return 0;
    }
    fb_str line = {input.ptr, (size_t)(found - input.ptr)};
    command->scanned = line.len;
    if (line.len > 0 && line.ptr[line.len - 1] == '\r') {
        line.len--;
    }
    int result = split_line(command, line, limits, error);
    if (result < 0) {
        return result;
    }
    command->pos = (size_t)(found - input.ptr) + 1;
    return finish(command);
}

// ---- public

static void drop_large(fb_resp_command *command) {
    if (command->args_cap > ARGS_CAP_KEPT) {
        fb_mem_free(command->args);
        command->args = NULL;
        command->args_cap = 0;
    }
    if (command->unquoted.cap > UNQUOTED_CAP_KEPT) {
        fb_buf_release(&command->unquoted);
    }
}

ssize_t fb_resp_command_read(fb_resp_command *command, fb_str input, const fb_resp_limits *limits,
                             fb_error *error) {
    FB_ASSERT(input.len >= command->seen);
    command->arg_count = 0;
    command->seen = input.len;
    if (input.len == 0) {
        return 0;
    }
    fb_str window = input;
    if (window.len > limits->query_len_max) {
        window.len = (size_t)limits->query_len_max;
    }
    if (command->phase == PHASE_START) {
        drop_large(command);
        command->phase = input.ptr[0] == '*' ? PHASE_COUNT : PHASE_INLINE;
    }
    ssize_t used = command->phase == PHASE_INLINE
                       ? read_inline(command, window, limits, error)
                       : read_multibulk(command, window, limits, error);
    if (used == 0 && input.len >= limits->query_len_max) {
        return fb_error_set(error, FB_ETOOBIG, "Protocol error: too big request");
    }
    return used;
}

void fb_resp_command_reset(fb_resp_command *command) {
    command->phase = PHASE_START;
    command->got = 0;
    command->expected = 0;
    command->pos = 0;
    command->scanned = 0;
    command->seen = 0;
}

void fb_resp_command_release(fb_resp_command *command) {
    fb_mem_free(command->args);
    fb_buf_release(&command->unquoted);
    memset(command, 0, sizeof *command);
}

size_t fb_resp_command_wants(const fb_resp_command *command) {
    if (command->phase != PHASE_BULK_BODY) {
        return 1;
    }
    size_t end = command->pos + command->bulk_len + 2;
    return end > command->seen ? end - command->seen : 1;
}
