// LCS: what two values have in common, in order.
//
// The textbook's table, whose cell (i, j) has the length for the first i bytes of one value and the
// first j of the other. Only one row of lengths is kept; the way back needs of each cell no more
// than whether it took its length from above or from the left, and that is a bit. So the table
// takes a thirty-second of what Redis's does; the limit is Redis's all the same, because it bounds
// the time that the loop is kept from its other connections.
//
// Where both ways are equally long, the way back goes left: so the matches are those that Redis
// finds.

#include "node/command_table.h"

#include <string.h>

#include "base/mem.h"
#include "base/str.h"

static const uint64_t CELL_BYTES_MAX = UINT64_C(512) * 1024 * 1024;

enum { CELL_LEN = 4, BITS = 8 };

typedef struct lcs {
    fb_str a, b;
    bool positions, length_only, with_lengths;
    int64_t shortest;   // of the matches that are shown
    uint32_t *row;      // lengths
    uint8_t *from_above;  // a bit a cell; NULL where only the length is asked for
    char *common;
    uint32_t common_len;
    // of the reply to IDX
    fb_reply matches;
    fb_buf bytes;
    size_t match_count;
} lcs;

// A stretch of both values that is the same, found from its end.
typedef struct stretch {
    size_t a_end, b_end, len;
} stretch;

static bool read_options(fb_command_call *call, lcs *one) {
    for (size_t i = 3; i < call->arg_count; i++) {
        bool more = i + 1 < call->arg_count;
        if (fb_command_word(call, i, "IDX")) {
            one->positions = true;
        } else if (fb_command_word(call, i, "LEN")) {
            one->length_only = true;
        } else if (fb_command_word(call, i, "WITHMATCHLEN")) {
            one->with_lengths = true;
        } else if (more && fb_command_word(call, i, "MINMATCHLEN")) {
            if (!fb_command_int(call, ++i, &one->shortest)) {
                return false;
            }
        } else {
            fb_command_syntax_error(call);
            return false;
        }
    }
    if (one->positions && one->length_only) {
        fb_reply_error(call->reply,
                       "ERR If you want both the length and indexes, please just use IDX.");
        return false;
    }
    return true;
}

// ---- the table

static bool fits(const lcs *one) {
    uint64_t cells;
    return !__builtin_mul_overflow((uint64_t)one->a.len + 1, (uint64_t)one->b.len + 1, &cells) &&
           cells <= CELL_BYTES_MAX / CELL_LEN;
}

static int take_room(lcs *one) {
    size_t cells = one->a.len * one->b.len;
    size_t shorter = one->a.len < one->b.len ? one->a.len : one->b.len;
    one->row = fb_mem_zero(one->b.len + 1, sizeof *one->row);
    if (one->row == NULL) {
        return FB_ENOMEM;
    }
    if (!one->length_only) {
        one->from_above = fb_mem_zero(cells / BITS + 1, 1);
        one->common = fb_mem_new(shorter + 1);
        if (one->from_above == NULL || one->common == NULL) {
            return FB_ENOMEM;
        }
    }
    return FB_OK;
}

static void fill_row(lcs *one, size_t i) {
    uint32_t *row = one->row;
    uint32_t corner = 0;  // above and to the left
    for (size_t j = 0; j < one->b.len; j++) {
        uint32_t above = row[j + 1];
        if (one->a.ptr[i] == one->b.ptr[j]) {
            row[j + 1] = corner + 1;
        } else if (above > row[j]) {
            size_t cell = i * one->b.len + j;
            if (one->from_above != NULL) {
                one->from_above[cell / BITS] |= (uint8_t)(1U << cell % BITS);
            }
        } else {
            row[j + 1] = row[j];
        }
        corner = above;
    }
}

static bool goes_up(const lcs *one, size_t i, size_t j) {
    size_t cell = i * one->b.len + j;
    return (one->from_above[cell / BITS] >> cell % BITS & 1) != 0;
}

// ---- the way back

static void show_range(fb_reply *reply, size_t end, size_t len) {
    fb_reply_array(reply, 2);
    fb_reply_integer(reply, (int64_t)(end - len));
    fb_reply_integer(reply, (int64_t)end - 1);
}

static void end_stretch(lcs *one, stretch *match) {
    if (match->len > 0 && one->positions && (int64_t)match->len >= one->shortest) {
        fb_reply_array(&one->matches, one->with_lengths ? 3 : 2);
        show_range(&one->matches, match->a_end, match->len);
        show_range(&one->matches, match->b_end, match->len);
        if (one->with_lengths) {
            fb_reply_integer(&one->matches, (int64_t)match->len);
        }
        one->match_count++;
    }
    match->len = 0;
}

static void walk_back(lcs *one) {
    size_t i = one->a.len;
    size_t j = one->b.len;
    uint32_t left = one->common_len;
    stretch match = {.len = 0};
    while (i > 0 && j > 0) {
        if (one->a.ptr[i - 1] == one->b.ptr[j - 1]) {
            one->common[--left] = one->a.ptr[i - 1];
            if (match.len++ == 0) {
                match.a_end = i;
                match.b_end = j;
            }
            i--;
            j--;
            continue;
        }
        end_stretch(one, &match);
        if (goes_up(one, i - 1, j - 1)) {
            i--;
        } else {
            j--;
        }
    }
    end_stretch(one, &match);
}

static void reply_lcs(fb_command_call *call, lcs *one) {
    fb_reply *reply = call->reply;
    if (one->length_only) {
        fb_reply_integer(reply, one->common_len);
        return;
    }
    fb_reply_init(&one->matches, reply->encoding, &one->bytes);
    walk_back(one);
    if (fb_reply_failed(&one->matches)) {
        fb_command_failed(call, FB_ENOMEM, NULL);
    } else if (one->positions) {
        fb_reply_map(reply, 2);
        fb_reply_text(reply, "matches");
        fb_reply_array(reply, one->match_count);
        fb_reply_raw(reply, fb_buf_str(&one->bytes));
        fb_reply_text(reply, "len");
        fb_reply_integer(reply, one->common_len);
    } else {
        fb_reply_bytes(reply, fb_str_make(one->common, one->common_len));
    }
}

static void compare(fb_command_call *call, lcs *one) {
    if (!read_options(call, one)) {
        return;
    }
    if (!fits(one)) {
        fb_reply_error(call->reply, "ERR Insufficient memory, transient memory for LCS exceeds "
                                    "proto-max-bulk-len");
        return;
    }
    if (take_room(one) < 0) {
        fb_reply_error(call->reply,
                       "ERR Insufficient memory, failed allocating transient memory for LCS");
        return;
    }
    for (size_t i = 0; i < one->a.len; i++) {
        fill_row(one, i);
    }
    one->common_len = one->row[one->b.len];
    reply_lcs(call, one);
}

// What is not there is empty. false: no memory.
static bool read_value(fb_command_call *call, size_t index, fb_value *value) {
    int result = fb_get_copy(call->node->engine, call->args[index], value);
    if (result < 0) {
        fb_command_failed(call, result, NULL);
    } else if (result != FB_OK) {
        value->data = FB_STR("");
    }
    return result >= 0;
}

void fb_string_lcs(fb_command_call *call) {
    fb_value a = {0};
    fb_value b = {0};
    if (read_value(call, 1, &a) && read_value(call, 2, &b)) {
        lcs one = {.a = a.data, .b = b.data};
        compare(call, &one);
        fb_mem_free(one.row);
        fb_mem_free(one.from_above);
        fb_mem_free(one.common);
        fb_buf_release(&one.bytes);
    }
    fb_value_release(&a);
    fb_value_release(&b);
}
