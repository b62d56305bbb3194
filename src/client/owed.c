// A map to find a key by, and a list in the order in which they came. A key stands there once,
// however often it is written. While its deletion is on the way it may be written once more: then
// it is owed once more, which the rounds tell.

#include "client/owed.h"

#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"

void fb_owed_init(fb_owed *owed) {
    *owed = (fb_owed){0};
    fb_list_init(&owed->order);
}

void fb_owed_release(fb_owed *owed) {
    FB_LIST_EACH_SAFE(node, after, &owed->order) {
        fb_mem_free(FB_LIST_OF(node, fb_debt, list));
    }
    fb_list_init(&owed->order);
    fb_map_release(&owed->map);
}

int fb_owed_add(fb_owed *owed, fb_str key) {
    fb_debt *debt = fb_map_get(&owed->map, key);
    if (debt == NULL) {
        if (fb_owed_count(owed) >= FB_OWED_KEYS_MAX || owed->bytes + key.len > FB_OWED_BYTES_MAX) {
            return FB_EOVERLOAD;
        }
        debt = fb_mem_new(sizeof *debt + key.len);
        if (debt == NULL) {
            return FB_ENOMEM;
        }
        debt->key_len = key.len;
        if (key.len > 0) {
            memcpy(debt->key, key.ptr, key.len);
        }
        if (fb_map_put(&owed->map, fb_str_make(debt->key, key.len), debt) < 0) {
            fb_mem_free(debt);
            return FB_ENOMEM;
        }
        fb_list_insert(&owed->order, &debt->list);
        owed->bytes += key.len;
    }
    debt->round = ++owed->round;
    return FB_OK;
}

size_t fb_owed_take(fb_owed *owed, fb_debt **debts, size_t max) {
    size_t count = 0;
    FB_LIST_EACH(node, &owed->order) {
        if (count == max) {
            break;
        }
        debts[count] = FB_LIST_OF(node, fb_debt, list);
        debts[count]->taken = debts[count]->round;
        count++;
    }
    return count;
}

void fb_owed_paid(fb_owed *owed, fb_debt *const *debts, size_t count) {
    for (size_t i = 0; i < count; i++) {
        fb_debt *debt = debts[i];
        if (debt->taken == debt->round) {
            void *was = fb_map_remove(&owed->map, fb_str_make(debt->key, debt->key_len));
            FB_ASSERT(was == debt);
            fb_list_remove(&debt->list);
            owed->bytes -= debt->key_len;
            fb_mem_free(debt);
        }
    }
}
