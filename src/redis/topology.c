// What servers say about where things are.
//
// Nothing here trusts the sender: a host that does not fit, a port out of range, a slot beyond the
// last, an element of another type make the answer FB_ESYNTAX or the error an ordinary one. A map
// is read as a whole or not at all, and names no slot twice, which bounds the work too. Replicas in
// it are passed over: nothing is read from them, since what they have may be older than what was
// acknowledged.

#include "redis/topology.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

// ---- places

const char *fb_place_show(const fb_redis_host *place, char *text, size_t text_size) {
    bool bare6 = strchr(place->host, ':') != NULL;
    snprintf(text, text_size, bare6 ? "[%s]:%u" : "%s:%u", place->host, place->port);
    return text;
}

bool fb_place_equal(const fb_redis_host *a, const fb_redis_host *b) {
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}

// A host that may be connected to: not too long, and nothing that could be taken for anything else.
static bool take_host(fb_str text, char *host) {
    if (text.len >= FB_REDIS_TEXT_MAX) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        char byte = text.ptr[i];
        bool is_word = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
                       (byte >= 'A' && byte <= 'Z');
        if (!is_word && memchr(".:-_%", byte, 5) == NULL) {
            return false;
        }
    }
    if (text.len > 0) {
        memcpy(host, text.ptr, text.len);
    }
    host[text.len] = '\0';
    return true;
}

static bool take_port(int64_t number, uint16_t *port) {
    if (number < 1 || number > UINT16_MAX) {
        return false;
    }
    *port = (uint16_t)number;
    return true;
}

// "HOST:PORT"; an IPv6 address has colons of its own, so the last one counts.
static bool take_place(fb_str text, fb_redis_host *place) {
    size_t colon = text.len;
    int64_t port = 0;
    while (colon > 0 && text.ptr[colon - 1] != ':') {
        colon--;
    }
    fb_str number = {text.ptr + colon, text.len - colon};
    return colon > 0 && fb_str_int(number, &port) == FB_OK && take_port(port, &place->port) &&
           take_host(fb_str_make(text.ptr, colon - 1), place->host);
}

// ---- errors

static fb_str next_word(fb_str *text) {
    size_t end = fb_str_find(*text, ' ');
    fb_str word = {text->ptr, end};
    size_t used = end < text->len ? end + 1 : end;
    *text = fb_str_make(text->ptr != NULL ? text->ptr + used : NULL, text->len - used);
    return word;
}

static void read_redirection(fb_redirect_kind kind, fb_str rest, fb_redirect *redirect) {
    int64_t slot = 0;
    fb_str number = next_word(&rest);
    fb_str place = next_word(&rest);
    if (fb_str_int(number, &slot) != FB_OK || slot < 0 || slot >= FB_SLOTS) {
        return;
    }
    redirect->slot = (uint16_t)slot;
    // "?" stands for a server that does not know its own name: somebody else has to be asked.
    redirect->kind = take_place(place, &redirect->place) ? kind : FB_REDIRECT_LATER;
}

void fb_redirect_read(fb_str error, fb_redirect *redirect) {
    static const struct {
        fb_str word;
        fb_redirect_kind kind;
    } words[] = {
        {FB_STR_INIT("MOVED"), FB_REDIRECT_MOVED},
        {FB_STR_INIT("ASK"), FB_REDIRECT_ASK},
        {FB_STR_INIT("TRYAGAIN"), FB_REDIRECT_LATER},
        {FB_STR_INIT("LOADING"), FB_REDIRECT_LATER},
        {FB_STR_INIT("BUSY"), FB_REDIRECT_LATER},
        {FB_STR_INIT("NOREPLICAS"), FB_REDIRECT_LATER},
        {FB_STR_INIT("READONLY"), FB_REDIRECT_ELSEWHERE},
        {FB_STR_INIT("MASTERDOWN"), FB_REDIRECT_ELSEWHERE},
        {FB_STR_INIT("CLUSTERDOWN"), FB_REDIRECT_ELSEWHERE},
    };
    *redirect = (fb_redirect){0};
    fb_str rest = error;
    fb_str word = next_word(&rest);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!fb_str_equal(word, words[i].word)) {
            continue;
        }
        if (words[i].kind == FB_REDIRECT_MOVED || words[i].kind == FB_REDIRECT_ASK) {
            read_redirection(words[i].kind, rest, redirect);
        } else {
            redirect->kind = words[i].kind;
        }
        return;
    }
}

// ---- the slot map

void fb_slot_map_free(fb_slot_map *map) {
    if (map != NULL) {
        fb_mem_free(map->hosts);
        fb_mem_free(map);
    }
}

// *index is that of `place` in the map, which is put there where it is not.
static int add_host(fb_slot_map *map, const fb_redis_host *place, size_t *index) {
    for (size_t i = map->host_count; i > 0; i--) {
        if (fb_place_equal(&map->hosts[i - 1], place)) {
            *index = i - 1;
            return FB_OK;
        }
    }
    if (map->host_count == FB_SLOT_HOSTS_MAX) {
        return FB_ETOOBIG;
    }
    if (map->host_count == map->host_cap) {
        size_t cap = map->host_cap == 0 ? 8 : map->host_cap * 2;
        fb_redis_host *hosts = fb_mem_resize(map->hosts, cap * sizeof *hosts);
        if (hosts == NULL) {
            return FB_ENOMEM;
        }
        map->hosts = hosts;
        map->host_cap = cap;
    }
    *index = map->host_count;
    map->hosts[map->host_count++] = *place;
    return FB_OK;
}

static bool is_slot(const fb_resp_value *value) {
    return value->type == FB_RESP_INTEGER && value->integer >= 0 && value->integer < FB_SLOTS;
}

static bool is_text(const fb_resp_value *value) {
    return value->type == FB_RESP_STRING || value->type == FB_RESP_SIMPLE ||
           value->type == FB_RESP_VERBATIM;
}

// [host, port, id, …]: a host that is null or empty is that of who answers; "?" is unknown to him.
static int read_master(const fb_resp_value *node, const char *host, fb_redis_host *place) {
    if (node->type != FB_RESP_ARRAY || node->child_count < 2 ||
        node->children[1].type != FB_RESP_INTEGER ||
        !take_port(node->children[1].integer, &place->port)) {
        return FB_ESYNTAX;
    }
    const fb_resp_value *name = &node->children[0];
    if (name->type == FB_RESP_NULL || (is_text(name) && name->text.len == 0)) {
        snprintf(place->host, sizeof place->host, "%s", host);
        return FB_OK;
    }
    if (is_text(name) && fb_str_equal(name->text, FB_STR("?"))) {
        return FB_MISS;
    }
    return is_text(name) && take_host(name->text, place->host) ? FB_OK : FB_ESYNTAX;
}

// [first, last, master, replica …]
static int read_range(const fb_resp_value *range, const char *host, fb_slot_map *map) {
    if (range->type != FB_RESP_ARRAY || range->child_count < 3 || !is_slot(&range->children[0]) ||
        !is_slot(&range->children[1]) ||
        range->children[0].integer > range->children[1].integer) {
        return FB_ESYNTAX;
    }
    fb_redis_host place = {0};
    size_t index = 0;
    int result = read_master(&range->children[2], host, &place);
    if (result == FB_OK) {
        result = add_host(map, &place, &index);
    }
    if (result != FB_OK) {
        return result == FB_MISS ? FB_OK : result;
    }
    for (int64_t slot = range->children[0].integer; slot <= range->children[1].integer; slot++) {
        if (map->owners[slot] != 0) {
            return FB_ESYNTAX;
        }
        map->owners[slot] = (uint16_t)(index + 1);
        map->covered++;
    }
    return FB_OK;
}

int fb_slot_map_read(const fb_resp_value *reply, const char *host, fb_slot_map **map) {
    *map = NULL;
    // No more ranges than there are slots: else it repeats itself.
    if (reply->type != FB_RESP_ARRAY || reply->child_count > FB_SLOTS) {
        return FB_ESYNTAX;
    }
    fb_slot_map *read = fb_mem_zero(1, sizeof *read);
    int result = read != NULL ? FB_OK : FB_ENOMEM;
    for (size_t i = 0; result == FB_OK && i < reply->child_count; i++) {
        result = read_range(&reply->children[i], host, read);
    }
    if (result != FB_OK) {
        fb_slot_map_free(read);
        return result;
    }
    *map = read;
    return FB_OK;
}

// ---- Sentinel

int fb_sentinel_answer_read(const fb_resp_value *reply, fb_redis_host *master, uint64_t *epoch) {
    bool has_host = false, has_port = false;
    int64_t number = 0;
    *epoch = 0;
    if (reply->type == FB_RESP_ERROR) {
        return fb_str_starts(reply->text, FB_STR("ERR No such")) ? FB_MISS : FB_ESYNTAX;
    }
    bool is_map = reply->type == FB_RESP_MAP || reply->type == FB_RESP_ARRAY;
    if (!is_map || reply->child_count % 2 != 0) {
        return FB_ESYNTAX;
    }
    for (size_t i = 0; i < reply->child_count; i += 2) {
        const fb_resp_value *name = &reply->children[i];
        const fb_resp_value *value = &reply->children[i + 1];
        if (!is_text(name) || !is_text(value)) {
            continue;
        }
        if (fb_str_equal(name->text, FB_STR("ip"))) {
            has_host = value->text.len > 0 && take_host(value->text, master->host);
        } else if (fb_str_equal(name->text, FB_STR("port"))) {
            has_port =
                fb_str_int(value->text, &number) == FB_OK && take_port(number, &master->port);
        } else if (fb_str_equal(name->text, FB_STR("config-epoch")) &&
                   fb_str_int(value->text, &number) == FB_OK && number >= 0) {
            *epoch = (uint64_t)number;
        }
    }
    return has_host && has_port ? FB_OK : FB_ESYNTAX;
}

bool fb_sentinel_is_switch(const fb_resp_value *push, const char *service) {
    if (push->type != FB_RESP_PUSH || push->child_count != 3 || !is_text(&push->children[0]) ||
        !is_text(&push->children[1]) || !is_text(&push->children[2])) {
        return false;
    }
    fb_str rest = push->children[2].text;
    return fb_str_equal(push->children[0].text, FB_STR("message")) &&
           fb_str_equal(push->children[1].text, FB_STR("+switch-master")) &&
           fb_str_equal(next_word(&rest), fb_str_of(service));
}

// ---- ROLE

bool fb_role_is_master(const fb_resp_value *reply) {
    return reply->type == FB_RESP_ARRAY && reply->child_count > 0 && is_text(&reply->children[0]) &&
           fb_str_equal(reply->children[0].text, FB_STR("master"));
}
