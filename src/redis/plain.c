// The table is direct-mapped by the key's hash and small: an entry is of use for the moment between
// a store and the server's word of it.

#include "redis/plain.h"

#include <openssl/evp.h>

#include "base/hash.h"

static fb_plain_store *slot_of(fb_redis *redis, uint64_t hash) {
    return &redis->stores[hash % FB_PLAIN_STORES];
}

bool fb_plain_version(fb_str bytes, uint64_t *version) {
    unsigned char sha[EVP_MAX_MD_SIZE];
    unsigned len;

    if (EVP_Digest(bytes.ptr, bytes.len, sha, &len, EVP_sha1(), NULL) != 1) {
        return false;
    }
    *version = fb_envelope_get64((const char *)sha);
    return *version != 0;
}

uint64_t fb_plain_stores(fb_redis *redis, fb_str key, fb_str bytes) {
    uint64_t hash = fb_hash64(key, redis->options.seed);
    uint64_t version;

    if (!fb_plain_version(bytes, &version)) {
        return 0;
    }
    pthread_mutex_lock(&redis->lock);
    *slot_of(redis, hash) = (fb_plain_store){hash, version};
    pthread_mutex_unlock(&redis->lock);
    return hash;
}

void fb_plain_not_stored(fb_redis *redis, uint64_t which) {
    pthread_mutex_lock(&redis->lock);
    fb_plain_store *store = slot_of(redis, which);
    if (store->key_hash == which) {
        *store = (fb_plain_store){0};
    }
    pthread_mutex_unlock(&redis->lock);
}

bool fb_plain_stored(fb_redis *redis, fb_str key, uint64_t *version) {
    uint64_t hash = fb_hash64(key, redis->options.seed);

    pthread_mutex_lock(&redis->lock);
    const fb_plain_store *store = slot_of(redis, hash);
    bool known = store->key_hash == hash && store->version != 0;
    *version = store->version;
    pthread_mutex_unlock(&redis->lock);
    return known;
}
