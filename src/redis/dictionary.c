// A class goes through states, each left by one event:
//
//   UNASKED ─ compress ─▶ ASKING ─ there is one ─▶ HAVE
//                            └ none ─▶ COLLECTING ─ enough ─▶ TRAINING ─ the thread ends ─▶ TRAINED
//   TRAINED, UNASKED again after a doubt ─ compress ─▶ ASKING, offering what is here
//   ASKING, not answered; TRAINING, nothing to be learned ─▶ GIVEN_UP, until a doubt
//
// Everything that is sent is sent by compress(), because it runs on a loop that has a route: so the
// training thread only leaves its work behind. Dictionaries are never freed while there are
// remotes: whoever found one under the lock may use it without. There are few: one, but for a
// server that lost its own.

#include "redis/dictionary.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <zdict.h>
#include <zstd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"
#include "os/clock.h"
#include "os/thread.h"

enum {
    LEVEL = 3,
    SAMPLE_LEN_MAX = 16 * 1024,
    KNOWN_MAX = 16,                  // versions of one class
    RAW_LEN_MAX = 512 * 1024 * 1024  // what Redis keeps under one key
};

typedef enum state { UNASKED, ASKING, COLLECTING, TRAINING, TRAINED, HAVE, GIVEN_UP } state;

typedef struct dictionary {
    uint32_t version;
    char *bytes;
    size_t len;
    ZSTD_CDict *compress;
    ZSTD_DDict *expand;
} dictionary;

typedef struct class_state {
    fb_dictionaries *all;
    char *name;
    size_t name_len;
    state state;
    dictionary known[KNOWN_MAX];  // the last one is the newest
    size_t known_count;
    const dictionary *used;       // for new values, in HAVE
    fb_buf samples;
    size_t sizes[FB_DICTIONARY_SAMPLES];
    unsigned sample_count;
} class_state;

struct fb_dictionaries {
    pthread_mutex_t lock;
    fb_map classes;
    fb_rng rng;
    pthread_t trainer;
    bool has_trainer;        // to be joined
    class_state *in_training;
};

// ---- what is known

static void free_class(class_state *of) {
    for (size_t i = 0; i < of->known_count; i++) {
        ZSTD_freeCDict(of->known[i].compress);
        ZSTD_freeDDict(of->known[i].expand);
        fb_mem_free(of->known[i].bytes);
    }
    fb_buf_release(&of->samples);
    fb_mem_free(of->name);
    fb_mem_free(of);
}

int fb_dictionaries_new(uint64_t seed, fb_dictionaries **dictionaries) {
    fb_dictionaries *new = fb_mem_zero(1, sizeof *new);
    if (new == NULL) {
        return FB_ENOMEM;
    }
    pthread_mutex_init(&new->lock, NULL);
    fb_rng_init(&new->rng, seed ^ (uint64_t)fb_clock_now_ns());
    *dictionaries = new;
    return FB_OK;
}

void fb_dictionaries_free(fb_dictionaries *dictionaries) {
    size_t place = 0;
    class_state *of;

    if (dictionaries == NULL) {
        return;
    }
    if (dictionaries->has_trainer) {
        pthread_join(dictionaries->trainer, NULL);
    }
    while ((of = fb_map_next(&dictionaries->classes, &place)) != NULL) {
        free_class(of);
    }
    fb_map_release(&dictionaries->classes);
    pthread_mutex_destroy(&dictionaries->lock);
    fb_mem_free(dictionaries);
}

void fb_dictionaries_doubt(fb_dictionaries *dictionaries) {
    size_t place = 0;
    class_state *of;

    pthread_mutex_lock(&dictionaries->lock);
    while ((of = fb_map_next(&dictionaries->classes, &place)) != NULL) {
        if (of->state == HAVE || of->state == GIVEN_UP) {
            of->state = UNASKED;
        }
    }
    pthread_mutex_unlock(&dictionaries->lock);
}

// Under the lock, as all down to the next line like this one. NULL: no memory.
static class_state *find_class(fb_dictionaries *all, fb_str name, bool make) {
    class_state *of = fb_map_get(&all->classes, name);
    if (of != NULL || !make) {
        return of;
    }
    of = fb_mem_zero(1, sizeof *of);
    if (of == NULL) {
        return NULL;
    }
    of->all = all;
    of->name = fb_mem_text(name);
    of->name_len = name.len;
    if (of->name == NULL || fb_map_put(&all->classes, fb_str_make(of->name, name.len), of) < 0) {
        free_class(of);
        return NULL;
    }
    return of;
}

static const dictionary *find_version(const class_state *of, uint32_t version) {
    for (size_t i = 0; i < of->known_count; i++) {
        if (of->known[i].version == version) {
            return &of->known[i];
        }
    }
    return NULL;
}

static const dictionary *learn(class_state *of, uint32_t version, fb_str bytes) {
    const dictionary *known = find_version(of, version);
    if (known != NULL || of->known_count == KNOWN_MAX || version == 0 || bytes.len == 0) {
        return known;
    }
    dictionary *new = &of->known[of->known_count];
    new->version = version;
    new->len = bytes.len;
    new->bytes = fb_mem_text(bytes);
    new->compress = ZSTD_createCDict(bytes.ptr, bytes.len, LEVEL);
    new->expand = ZSTD_createDDict(bytes.ptr, bytes.len);
    if (new->bytes == NULL || new->compress == NULL || new->expand == NULL) {
        ZSTD_freeCDict(new->compress);
        ZSTD_freeDDict(new->expand);
        fb_mem_free(new->bytes);
        *new = (dictionary){0};
        return NULL;
    }
    of->known_count++;
    return new;
}

static void collect(class_state *of, fb_str value) {
    size_t len = value.len < SAMPLE_LEN_MAX ? value.len : SAMPLE_LEN_MAX;
    if (of->sample_count < FB_DICTIONARY_SAMPLES &&
        fb_buf_append(&of->samples, fb_str_make(value.ptr, len)) == FB_OK) {
        of->sizes[of->sample_count++] = len;
    }
}

static bool has_enough(const class_state *of) {
    return of->sample_count == FB_DICTIONARY_SAMPLES ||
           of->samples.len >= FB_DICTIONARY_SAMPLES_LEN;
}

// ---- training, on its thread: nobody else touches the samples meanwhile

static void *train(void *arg) {
    class_state *of = arg;
    fb_dictionaries *all = of->all;
    char *bytes = fb_mem_new(FB_DICTIONARY_LEN_MAX);
    size_t len = 0;

    int64_t began_ns = fb_clock_now_ns();
    if (bytes != NULL) {
        len = ZDICT_trainFromBuffer(bytes, FB_DICTIONARY_LEN_MAX, of->samples.ptr, of->sizes,
                                    of->sample_count);
    }
    bool trained = bytes != NULL && !ZDICT_isError(len);
    fb_log(FB_LOG_DEBUG, "dictionary_trained", "class=%.*s samples=%u bytes=%zu ms=%lld",
           (int)of->name_len, of->name, of->sample_count, trained ? len : 0,
           (long long)((fb_clock_now_ns() - began_ns) / 1000000));
    pthread_mutex_lock(&all->lock);
    uint32_t version = (uint32_t)fb_rng_below(&all->rng, UINT32_MAX) + 1;
    bool learned = trained && learn(of, version, fb_str_make(bytes, len)) != NULL;
    of->state = learned ? TRAINED : GIVEN_UP;
    fb_buf_release(&of->samples);
    of->sample_count = 0;
    all->in_training = NULL;
    pthread_mutex_unlock(&all->lock);
    fb_mem_free(bytes);
    return NULL;
}

// Under the lock. One at a time; another class waits, with what it has collected.
static void start_training(class_state *of) {
    fb_dictionaries *all = of->all;

    if (all->in_training != NULL) {
        return;
    }
    if (all->has_trainer) {
        pthread_join(all->trainer, NULL);  // it has ended: all but its return
        all->has_trainer = false;
    }
    all->in_training = of;
    of->state = TRAINING;
    all->has_trainer = fb_thread_start(&all->trainer, "forebay-dict", train, of) == FB_OK;
    if (!all->has_trainer) {
        all->in_training = NULL;
        of->state = GIVEN_UP;
    }
}

// ---- asking the server for the one to be used, and offering ours

static bool read_version(const fb_resp_value *value, uint32_t *version) {
    int64_t number;
    if (value->type != FB_RESP_STRING || fb_str_int(value->text, &number) != FB_OK || number <= 0 ||
        number > UINT32_MAX) {
        return false;
    }
    *version = (uint32_t)number;
    return true;
}

static void on_now(void *arg, fb_conn_outcome outcome, const fb_resp_value *value,
                   const char *why) {
    class_state *of = arg;
    uint32_t version;
    (void)why;

    pthread_mutex_lock(&of->all->lock);
    of->state = GIVEN_UP;
    if (outcome == FB_CONN_REPLIED && value->type == FB_RESP_ARRAY) {
        if (read_version(fb_reply_item(value, 0), &version)) {
            of->used = learn(of, version, fb_reply_item(value, 1)->text);
            of->state = of->used != NULL ? HAVE : GIVEN_UP;
        } else {
            of->state = COLLECTING;
        }
    }
    pthread_mutex_unlock(&of->all->lock);
}

static int class_key(const fb_redis *redis, fb_str class_name, fb_buf *key) {
    int result = fb_buf_printf(key, "%s:dict:", redis->options.name_space);
    return result < 0 ? result : fb_buf_append(key, class_name);
}

// `offered` may be NULL.
static void ask_now(fb_remote *remote, class_state *of, const dictionary *offered) {
    const fb_redis *redis = remote->redis;
    fb_buf key = {0};
    char version[16] = "";
    int result = class_key(redis, fb_str_make(of->name, of->name_len), &key);

    if (offered != NULL) {
        snprintf(version, sizeof version, "%" PRIu32, offered->version);
    }
    if (result == FB_OK) {
        fb_str args[] = {FB_STR("EVAL"), fb_scripts[FB_SCRIPT_dictionary].text, FB_STR("1"),
                         fb_buf_str(&key), fb_str_of(version),
                         offered != NULL ? fb_str_make(offered->bytes, offered->len) : FB_STR("")};
        fb_remote_command command = {.args = args,
                                     .arg_count = 6,
                                     .slot = fb_slot_of(fb_buf_str(&key)),
                                     .repeatable = true,
                                     .deadline_ns = fb_clock_now_ns() +
                                                    redis->options.connect_timeout_ns,
                                     .fn = on_now,
                                     .arg = of};
        result = fb_remote_send(remote, &command);
    }
    fb_buf_release(&key);
    if (result < 0) {
        on_now(of, FB_CONN_NOT_SENT, NULL, "");
    }
}

// ---- compressing

static bool is_wanted(fb_redis *redis, const fb_envelope *how) {
    bool wanted = false;

    if (how->payload.len < FB_COMPRESS_LEN_MIN || how->payload.len > RAW_LEN_MAX) {
        return false;
    }
    pthread_mutex_lock(&redis->lock);
    for (size_t i = 0; i < redis->class_count; i++) {
        const fb_redis_class *class_ = &redis->classes[i];
        if (fb_str_equal(class_->name, how->class_name)) {
            wanted = class_->compress_above > 0 && how->payload.len > class_->compress_above;
            break;
        }
    }
    pthread_mutex_unlock(&redis->lock);
    return wanted;
}

// The dictionary to be used for a value of the class; NULL: none. What is due for the class is
// done.
static const dictionary *choose(fb_remote *remote, const fb_envelope *how) {
    fb_dictionaries *all = remote->redis->dictionaries;
    const dictionary *chosen = NULL, *offered = NULL;
    bool asks = false;

    pthread_mutex_lock(&all->lock);
    class_state *of = how->class_name.len <= FB_ENVELOPE_CLASS_MAX
                          ? find_class(all, how->class_name, true)
                          : NULL;
    if (of == NULL) {
        pthread_mutex_unlock(&all->lock);
        return NULL;
    }
    if (of->state == COLLECTING) {
        collect(of, how->payload);
        if (has_enough(of)) {
            start_training(of);
        }
    } else if (of->state == UNASKED || of->state == TRAINED) {
        of->state = ASKING;
        asks = true;
        offered = of->known_count > 0 ? &of->known[of->known_count - 1] : NULL;
    } else if (of->state == HAVE) {
        chosen = of->used;
    }
    pthread_mutex_unlock(&all->lock);
    if (asks) {
        ask_now(remote, of, offered);
    }
    return chosen;
}

void fb_dictionary_compress(fb_remote *remote, fb_envelope *how) {
    if (!is_wanted(remote->redis, how)) {
        return;
    }
    const dictionary *with = choose(remote, how);
    fb_str raw = how->payload;
    if (remote->cctx == NULL) {
        remote->cctx = ZSTD_createCCtx();
    }
    // No more room than what would be worth it.
    size_t room = raw.len - raw.len / 16 - 8;
    remote->packed.len = 0;
    if (remote->cctx == NULL || fb_buf_reserve(&remote->packed, room) < 0) {
        return;
    }
    size_t len = with != NULL ? ZSTD_compress_usingCDict(remote->cctx, remote->packed.ptr, room,
                                                         raw.ptr, raw.len, with->compress)
                              : ZSTD_compressCCtx(remote->cctx, remote->packed.ptr, room, raw.ptr,
                                                  raw.len, LEVEL);
    if (ZSTD_isError(len)) {
        return;
    }
    remote->packed.len = len;
    how->compressed = true;
    how->raw_len = (uint32_t)raw.len;
    how->dictionary = with != NULL ? with->version : 0;
    how->payload = fb_buf_str(&remote->packed);
}

int fb_dictionary_expand(fb_remote *remote, const fb_envelope *envelope, fb_buf *value) {
    fb_dictionaries *all = remote->redis->dictionaries;
    fb_str packed = envelope->payload;
    const dictionary *with = NULL;

    if (envelope->raw_len > RAW_LEN_MAX ||
        ZSTD_getFrameContentSize(packed.ptr, packed.len) != envelope->raw_len) {
        return FB_ESYNTAX;
    }
    if (envelope->dictionary != 0) {
        pthread_mutex_lock(&all->lock);
        const class_state *of = find_class(all, envelope->class_name, false);
        with = of != NULL ? find_version(of, envelope->dictionary) : NULL;
        pthread_mutex_unlock(&all->lock);
        if (with == NULL) {
            return FB_MISS;
        }
    }
    if (remote->dctx == NULL) {
        remote->dctx = ZSTD_createDCtx();
    }
    if (remote->dctx == NULL || fb_buf_reserve(value, envelope->raw_len) < 0) {
        return FB_ENOMEM;
    }
    size_t len = with != NULL ? ZSTD_decompress_usingDDict(remote->dctx, value->ptr,
                                                           envelope->raw_len, packed.ptr,
                                                           packed.len, with->expand)
                              : ZSTD_decompressDCtx(remote->dctx, value->ptr, envelope->raw_len,
                                                    packed.ptr, packed.len);
    if (len != envelope->raw_len) {
        return FB_ESYNTAX;
    }
    value->len = len;
    return FB_OK;
}

void fb_dictionary_release(fb_remote *remote) {
    ZSTD_freeCCtx(remote->cctx);
    ZSTD_freeDCtx(remote->dctx);
}

// ---- fetching one that a value names

static void on_fetched(void *arg, fb_conn_outcome outcome, const fb_resp_value *value,
                       const char *why) {
    fb_ask *ask = arg;
    fb_dictionaries *all = ask->remote->redis->dictionaries;
    fb_envelope envelope;
    (void)why;

    if (outcome == FB_CONN_REPLIED && value->type == FB_RESP_STRING &&
        fb_envelope_read(fb_buf_str(&ask->held_value), &envelope) == FB_OK) {
        pthread_mutex_lock(&all->lock);
        class_state *of = find_class(all, envelope.class_name, true);
        if (of != NULL) {
            // Without memory it is as if there were none.
            FB_IGNORE(learn(of, envelope.dictionary, value->text) != NULL);
        }
        pthread_mutex_unlock(&all->lock);
    }
    fb_ask_go_on(ask, fb_reply_retry(ask));
}

void fb_dictionary_fetch(fb_ask *ask) {
    fb_remote *remote = ask->remote;
    fb_envelope envelope;
    fb_buf key = {0};
    char version[16];

    ask->dictionary_asked = true;
    int result = fb_envelope_read(fb_buf_str(&ask->held_value), &envelope);
    if (result == FB_OK) {
        snprintf(version, sizeof version, "%" PRIu32, envelope.dictionary);
        result = class_key(remote->redis, envelope.class_name, &key);
    }
    if (result == FB_OK) {
        fb_str args[] = {FB_STR("HGET"), fb_buf_str(&key), fb_str_of(version)};
        fb_remote_command command = {.args = args,
                                     .arg_count = 3,
                                     .slot = fb_slot_of(fb_buf_str(&key)),
                                     .repeatable = true,
                                     .deadline_ns = ask->deadline_ns,
                                     .fn = on_fetched,
                                     .arg = ask};
        result = fb_remote_send(remote, &command);
    }
    fb_buf_release(&key);
    if (result < 0) {
        fb_ask_go_on(ask, fb_reply_retry(ask));
    }
}
