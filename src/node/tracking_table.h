// node/tracking_table.h -- which connections have read which keys, and keep what they read.
//
// Zero-initialise it; clear it. Memory: a node for each key, 24 bytes for each of its readers.
// Threads: one at a time.

#ifndef FB_NODE_TRACKING_TABLE_H
#define FB_NODE_TRACKING_TABLE_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

// One who reads. `reading`: his reply is still to come, and may be of what is just being loaded; what was
// loaded meanwhile in the place of something else is noted.
typedef struct fb_key_reader {
    uint64_t id;
    uint64_t loaded;  // the version of that; 0: nothing was
    bool reading;
} fb_key_reader;

typedef struct fb_tracked_key {
    struct fb_tracked_key *next;  // private
    uint64_t hash;
    uint32_t reader_count, reader_cap;
    fb_key_reader *readers;
    fb_str key;
} fb_tracked_key;

typedef struct fb_tracking_table {
    fb_tracked_key **places;
    size_t place_count;
    size_t hand;  // where the next key is given up
    uint64_t keys, readers;
    uint64_t seed;  // before the first add
} fb_tracking_table;

void fb_tracking_table_clear(fb_tracking_table *table);  // also where nothing more is to come
uint64_t fb_tracking_table_hash(const fb_tracking_table *table, fb_str key);
// FB_OK or FB_ENOMEM. Who is there already is there once, reading as told now.
FB_CHECK_RESULT int fb_tracking_table_add(fb_tracking_table *table, fb_str key, fb_key_reader who);
fb_tracked_key *fb_tracking_table_find(const fb_tracking_table *table, fb_str key);
// Of whatever key has that hash: `id` has its reply, which was of `version` (0: nobody knows). NULL: it
// is not among its readers. *stale: something else was loaded meanwhile, for all that is known.
fb_tracked_key *fb_tracking_table_settle(fb_tracking_table *table, uint64_t hash,
                                         const fb_key_reader *who, bool *stale);
// Takes it out; it is freed by forget().
void fb_tracking_table_take(fb_tracking_table *table, fb_tracked_key *tracked);
void fb_tracked_key_free(fb_tracked_key *tracked);
// Calls `fn` with each of its readers and takes them out; the key itself too, where none is left. The
// bytes are good until `fn` returns.
typedef void (*fb_key_reader_fn)(void *arg, fb_str key, uint64_t id);
void fb_tracking_table_hit(fb_tracking_table *table, fb_tracked_key *tracked, fb_key_reader_fn fn,
                           void *arg);
// The same but for those that are reading: they are told at the end. `version`: of what was loaded in
// the place of something else; 0: there was nothing.
void fb_tracking_table_load(fb_tracking_table *table, fb_tracked_key *tracked, uint64_t version,
                            fb_key_reader_fn fn, void *arg);
// Each key once, from a zeroed walk until NULL. The one it gave may be taken out before the next call;
// nothing may be added.
typedef struct fb_tracking_walk {
    size_t place;
    fb_tracked_key *next;
} fb_tracking_walk;
fb_tracked_key *fb_tracking_table_walk(const fb_tracking_table *table, fb_tracking_walk *walk);
// Any key; NULL: there is none.
fb_tracked_key *fb_tracking_table_any(fb_tracking_table *table);

#ifdef __cplusplus
}
#endif

#endif
