// Printing goes by recursion: replies are at most FB_PRINT_DEPTH_MAX deep, which client/link.c sees
// to. In JSON a level may become two (a map whose names are no scalars, and its pairs), and the
// encoder has FB_REPLY_DEPTH_MAX.

#include "cli/print.h"

#include <stdio.h>

#include "base/json.h"
#include "base/str.h"
#include "node/reply.h"

_Static_assert(2 * FB_PRINT_DEPTH_MAX <= FB_REPLY_DEPTH_MAX, "pairs double the depth");

// ---- for people

static void print_scalar(const fb_resp_value *value) {
    switch (value->type) {
        case FB_RESP_NULL:
            fputs("(nothing)", stdout);
            break;
        case FB_RESP_INTEGER:
            printf("%lld", (long long)value->integer);
            break;
        case FB_RESP_BOOLEAN:
            fputs(value->integer ? "yes" : "no", stdout);
            break;
        case FB_RESP_DOUBLE:
            printf("%.6g", value->number);
            break;
        default:
            fwrite(value->text.ptr, 1, value->text.len, stdout);
    }
}

static bool is_scalar(const fb_resp_value *value) {
    return value->type < FB_RESP_ARRAY;
}

static int widest_name(const fb_resp_value *map) {
    size_t widest = 0;
    for (size_t i = 0; i + 1 < map->child_count; i += 2) {
        size_t len = map->children[i].text.len;
        widest = len > widest && len <= 40 ? len : widest;
    }
    return (int)widest;
}

static void print_at(const fb_resp_value *value, int indent);

static void print_map(const fb_resp_value *value, int indent) {
    int width = widest_name(value);
    for (size_t i = 0; i + 1 < value->child_count; i += 2) {
        const fb_resp_value *child = &value->children[i + 1];
        printf("%*s", indent, "");
        if (is_scalar(child)) {
            int pad = width - (int)value->children[i].text.len;
            print_scalar(&value->children[i]);
            printf("%*s", 2 + (pad > 0 ? pad : 0), "");
            print_scalar(child);
            putchar('\n');
        } else if (child->child_count > 0) {
            print_scalar(&value->children[i]);
            putchar('\n');
            print_at(child, indent + 2);
        } else {
            print_scalar(&value->children[i]);
            printf("%*s(none)\n", 2, "");
        }
    }
}

static void print_at(const fb_resp_value *value, int indent) {
    if (is_scalar(value)) {
        printf("%*s", indent, "");
        print_scalar(value);
        putchar('\n');
    } else if (value->type == FB_RESP_MAP) {
        print_map(value, indent);
    } else {
        for (size_t i = 0; i < value->child_count; i++) {
            print_at(&value->children[i], indent);
        }
    }
}

void fb_print_text(const fb_resp_value *value) {
    print_at(value, 0);
}

void fb_print_raw(const fb_resp_value *value) {
    if (!is_scalar(value)) {
        fb_print_text(value);
    } else if (value->type != FB_RESP_NULL) {
        print_scalar(value);
    }
}

// ---- JSON: by the encoder that also answers HTTP

static void encode_text(fb_reply *reply, fb_str text) {
    bool structured = text.len > 0 && (text.ptr[0] == '{' || text.ptr[0] == '[');
    if (structured && fb_json_valid(text)) {
        fb_reply_json(reply, text);
    } else {
        fb_reply_bytes(reply, text);
    }
}

static bool has_plain_names(const fb_resp_value *map) {
    for (size_t i = 0; i + 1 < map->child_count; i += 2) {
        if (!is_scalar(&map->children[i])) {
            return false;
        }
    }
    return true;
}

static void encode(fb_reply *reply, const fb_resp_value *value);

static void encode_map(fb_reply *reply, const fb_resp_value *map) {
    bool plain = has_plain_names(map);
    if (plain) {
        fb_reply_map(reply, map->child_count / 2);
    } else {
        fb_reply_array(reply, map->child_count / 2);
    }
    for (size_t i = 0; i + 1 < map->child_count; i += 2) {
        if (!plain) {
            fb_reply_array(reply, 2);
        }
        encode(reply, &map->children[i]);
        encode(reply, &map->children[i + 1]);
    }
}

static void encode(fb_reply *reply, const fb_resp_value *value) {
    switch (value->type) {
        case FB_RESP_NULL:
            fb_reply_null(reply);
            break;
        case FB_RESP_INTEGER:
            fb_reply_integer(reply, value->integer);
            break;
        case FB_RESP_BOOLEAN:
            fb_reply_boolean(reply, value->integer != 0);
            break;
        case FB_RESP_DOUBLE:
            fb_reply_double(reply, value->number);
            break;
        case FB_RESP_MAP:
            encode_map(reply, value);
            break;
        case FB_RESP_ARRAY:
        case FB_RESP_SET:
        case FB_RESP_PUSH:
            fb_reply_array(reply, value->child_count);
            for (size_t i = 0; i < value->child_count; i++) {
                encode(reply, &value->children[i]);
            }
            break;
        default:
            encode_text(reply, value->text);
    }
}

int fb_print_encode(const fb_resp_value *value, fb_buf *out) {
    fb_reply reply;
    fb_reply_init(&reply, FB_ENCODING_JSON, out);
    encode(&reply, value);
    return fb_reply_failed(&reply) ? FB_ENOMEM : FB_OK;
}

int fb_print_json(const fb_resp_value *value) {
    fb_buf out = {0};
    int result = fb_print_encode(value, &out);
    if (result == FB_OK) {
        fwrite(out.ptr, 1, out.len, stdout);
        putchar('\n');
    }
    fb_buf_release(&out);
    return result;
}
