// A reader: the region mapped for reading, its hints mapped for writing, and a name to look under
// when the daemon behind it is gone.
//
// A get reads the coarse clock (the kernel's tick: 3 ns instead of 20), sees by the beat that the
// region has a writer, looks the key up, and judges what it finds in the store's callback, where
// the bytes may be torn: the rules cope with any bytes, the value is copied by a length that lies
// within the region, and the store confirms afterwards that all of it was of one moment, or calls
// again.
// The coarse clock is behind by up to a tick. So what expires within two ticks is judged again with
// the precise one; and what the coarse clock calls expired, is.
//
// Going over to another region. When the region has no writer, one thread, at most ten times a
// second, looks whether another file stands under the name, attaches it and lets `current` point to
// it. Nobody waits for that. Other threads may still be reading the old mapping, and must not count
// themselves in and out for the sake of it: two locked instructions on every read are a tenth of
// one. So the old mapping is never unmapped while the reader is open. Instead pages of zeroes are
// mapped over it, in one call: that gives back its memory (the file's, which has no name any more),
// and whoever is still reading there finds a region of zeroes, which the store copes with as with
// any bytes. He is not misled either: the version of a chain in which there was anything is not 0,
// so the store does not believe what it read. What remains until close() is address space.
//
// Of several threads that look at the same time, because the first of them took long, one
// succeeds in changing `current`; the others unmap theirs, which nobody saw. There is no lock, so a
// fork at any moment leaves the child a reader that works.

#include <forebay/reader.h>

#include "client/reader_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "cache/hints.h"
#include "cache/outside.h"
#include "client/caller.h"
#include "client/clock.h"
#include "store/race.h"
#include "store/region.h"

enum { PATIENCE_MS = 1000, LOOK_MS = 100, PATH_SIZE = 4096 };

// One region, as it is mapped here.
typedef struct mapped {
    fb_store *store;
    fb_outside outside;
    fb_hints *hints;  // NULL: they may not be written
    dev_t device;
    ino_t inode;
    struct mapped *older;  // in the list of those that were left
} mapped;

struct fb_reader {
    _Atomic(mapped *) current;  // NULL only after fb_reader_leave()
    int64_t patience_ns;
    // Where a region without a writer is met, these are looked at too.
    _Atomic int64_t look_ns;  // not before; INT64_MAX: never
    _Atomic(mapped *) left;
    bool any_owner;
    uint64_t boot;
    char file[];
};

// ---- opening

static int refuse_file(const char *file, int code, const char *why, fb_error *error) {
    return fb_error_set(error, code, "the region %s %s", file, why);
}

static int check_file(const fb_reader *reader, const struct stat *about, fb_error *error) {
    if (!S_ISREG(about->st_mode)) {
        return refuse_file(reader->file, FB_EINVAL, "is no regular file", error);
    }
    if (!reader->any_owner && about->st_uid != 0 && about->st_uid != geteuid()) {
        return refuse_file(reader->file, FB_EDENIED,
                           "belongs to another user, which only any_owner accepts", error);
    }
    if ((about->st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        return refuse_file(reader->file, FB_EDENIED, "may be written to by others", error);
    }
    return FB_OK;
}

// Of the boot id, as the daemon has it.
static uint64_t read_boot(void) {
    char text[64];
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t len = fd >= 0 ? read(fd, text, sizeof text) : 0;
    if (fd >= 0) {
        close(fd);
    }
    return fb_outside_boot(fb_str_trim(fb_str_make(text, len > 0 ? (size_t)len : 0)));
}

// Readers without the right to write there do without.
static fb_hints *map_hints(const fb_reader *reader) {
    char path[PATH_SIZE];
    struct stat about;
    if (snprintf(path, sizeof path, "%s.hints", reader->file) >= (int)sizeof path) {
        return NULL;
    }
    int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return NULL;
    }
    bool fits = fstat(fd, &about) == 0 && S_ISREG(about.st_mode) &&
                about.st_size >= (off_t)sizeof(fb_hints) &&
                (reader->any_owner || about.st_uid == 0 || about.st_uid == geteuid());
    void *at = fits ? mmap(NULL, sizeof(fb_hints), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
                    : MAP_FAILED;
    close(fd);
    if (at == MAP_FAILED) {
        return NULL;
    }
    if (((fb_hints *)at)->magic != FB_HINTS_MAGIC) {
        munmap(at, sizeof(fb_hints));
        return NULL;
    }
    return at;
}

static void free_mapped(mapped *one) {
    if (one != NULL) {
        if (one->hints != NULL) {
            munmap(one->hints, sizeof(fb_hints));
        }
        fb_store_free(one->store);
        fb_mem_free(one);
    }
}

static int map_file(fb_reader *reader, int fd, const struct stat *about, mapped **out,
                    fb_error *error) {
    mapped *one = fb_mem_zero(1, sizeof *one);
    if (one == NULL) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    uint64_t bytes = 0;
    fb_error why = {.text = ""};
    int result = fb_store_attach(fd, FB_OUTSIDE_FORMAT, reader->boot, &one->store, &why);
    if (result == FB_OK) {
        const void *room = fb_store_app(one->store, &bytes);
        result = fb_outside_view(room, bytes, &one->outside);
        (void)snprintf(why.text, sizeof why.text, "it holds no classes");
    }
    if (result < 0) {
        free_mapped(one);
        return fb_error_set(error, result, "the region %s cannot be read: %s", reader->file,
                            why.text);
    }
    one->hints = map_hints(reader);
    one->device = about->st_dev;
    one->inode = about->st_ino;
    *out = one;
    return FB_OK;
}

// The region that stands under the name. FB_MISS: it is `known`.
static int open_file(fb_reader *reader, const mapped *known, mapped **out, fb_error *error) {
    struct stat about;
    int fd = open(reader->file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &about) != 0) {
        int reason = errno;
        if (fd >= 0) {
            close(fd);
        }
        return fb_error_set(error, FB_EIO, "cannot open the region %s: %s", reader->file,
                            strerror(reason));
    }
    int result;
    if (known != NULL && known->device == about.st_dev && known->inode == about.st_ino) {
        result = FB_MISS;
    } else {
        result = check_file(reader, &about, error);
        if (result == FB_OK) {
            result = map_file(reader, fd, &about, out, error);
        }
    }
    close(fd);
    return result;
}

int fb_reader_open(const fb_reader_options *options, fb_reader **out, fb_error *error) {
    *out = NULL;
    size_t len = options->file.len;
    if (len == 0 || len >= PATH_SIZE || memchr(options->file.ptr, '\0', len) != NULL ||
        options->patience_ms < 0 || options->patience_ms > INT64_MAX / 1000000) {
        return fb_error_set(error, FB_EINVAL, "no name of a file, or no patience");
    }
    fb_reader *reader = fb_mem_zero(1, sizeof *reader + len + 1);
    if (reader == NULL) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    memcpy(reader->file, options->file.ptr, len);
    int64_t patience_ms = options->patience_ms > 0 ? options->patience_ms : PATIENCE_MS;
    reader->patience_ns = patience_ms * 1000000;
    reader->any_owner = options->any_owner;
    reader->boot = read_boot();
    fb_forked_watch();
    mapped *one = NULL;
    int result = open_file(reader, NULL, &one, error);
    if (result < 0) {
        fb_mem_free(reader);
        return result;
    }
    atomic_store(&reader->current, one);
    *out = reader;
    return FB_OK;
}

void fb_reader_close(fb_reader *reader) {
    if (reader != NULL) {
        free_mapped(atomic_load(&reader->current));
        for (mapped *one = atomic_load(&reader->left), *older; one != NULL; one = older) {
            older = one->older;
            free_mapped(one);
        }
        fb_mem_free(reader);
    }
}

// ---- regions come and go

// Pages of zeroes instead of the region's. Where that fails (too many mappings) the file's memory
// is kept until close(). ThreadSanitizer takes a mapping for a write to all of it, which would race
// with whoever still reads there; it does not see a system call that is made by its number.
static void map_zeroes(const fb_store *store) {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
#if FB_RACE_WATCHED
    (void)syscall(SYS_mmap, store->base, store->size, PROT_READ, flags, -1, 0);
#else
    (void)mmap(store->base, store->size, PROT_READ, flags, -1, 0);
#endif
}

// Nobody finds `one` any more, but somebody may be reading it.
static void bury(fb_reader *reader, mapped *one) {
    map_zeroes(one->store);
    one->older = atomic_load(&reader->left);
    while (!atomic_compare_exchange_weak(&reader->left, &one->older, one)) {
    }
}

void fb_reader_stay(fb_reader *reader) {
    atomic_store(&reader->look_ns, INT64_MAX);
}

void fb_reader_leave(fb_reader *reader) {
    mapped *one = atomic_exchange(&reader->current, NULL);
    if (one != NULL) {
        bury(reader, one);
    }
}

// Looks for a new region where `known` has no writer. By whoever finds that the time has come.
static __attribute__((noinline, cold)) void look(fb_reader *reader, mapped *known,
                                                 int64_t now_ns) {
    int64_t not_before = atomic_load_explicit(&reader->look_ns, memory_order_relaxed);
    if (known == NULL || now_ns < not_before ||
        !atomic_compare_exchange_strong(&reader->look_ns, &not_before,
                                        now_ns + LOOK_MS * INT64_C(1000000))) {
        return;
    }
    mapped *one = NULL;
    if (open_file(reader, known, &one, NULL) != FB_OK) {
        return;
    }
    if (atomic_compare_exchange_strong(&reader->current, &known, one)) {
        bury(reader, known);
    } else {
        free_mapped(one);
    }
}

// The region if there is a writer behind it, or NULL.
static inline mapped *living(fb_reader *reader, int64_t now_ns) {
    mapped *one = atomic_load_explicit(&reader->current, memory_order_acquire);
    if (one != NULL && fb_store_alive_at(one->store, now_ns, reader->patience_ns)) {
        return one;
    }
    look(reader, one, now_ns);
    one = atomic_load_explicit(&reader->current, memory_order_acquire);
    return one != NULL && fb_store_alive_at(one->store, now_ns, reader->patience_ns) ? one : NULL;
}

// ---- reading

typedef struct getting {
    const fb_outside *outside;
    fb_rng *rng;
    fb_value *value;
    char *bytes;
    size_t room;
    int64_t now_ns;
    int result;
    uint64_t hash;
    uint16_t class_id;
} getting;

static bool expired(const fb_item *item, int64_t now_ns) {
    return item->expires_ns != 0 && item->expires_ns <= now_ns;
}

// Perhaps with torn bytes, and then again.
static void take(void *arg, const fb_item *item) {
    getting *to = arg;
    fb_value *value = to->value;
    to->result = fb_outside_judge(to->outside, item, to->now_ns, to->rng, value);
    if (to->result != FB_OK) {
        return;
    }
    if (__builtin_expect(value->ttl_ms >= 0 && value->ttl_ms < FB_COARSE_LAG_MS, 0)) {
        int64_t now_ns = fb_now_ns();
        to->result = expired(item, now_ns)
                         ? FB_MISS
                         : fb_outside_judge(to->outside, item, now_ns, to->rng, value);
        if (to->result != FB_OK) {
            return;
        }
    }
    value->data.len = item->value.len;
    to->class_id = item->class_id;
    to->hash = item->hash;
    if (item->value.len > to->room) {
        to->result = FB_ETOOBIG;
        return;
    }
    if (item->value.len > 0) {
        memcpy(to->bytes, item->value.ptr, item->value.len);
    }
}

int fb_reader_get(fb_reader *reader, fb_str key, void *bytes, size_t room, fb_value *value) {
    int64_t now_ns = fb_now_coarse_ns();
    mapped *one = living(reader, now_ns);
    fb_caller *caller = fb_caller_self();
    getting to = {.outside = one != NULL ? &one->outside : NULL,
                  .rng = &caller->rng,
                  .value = value,
                  .bytes = bytes,
                  .room = room,
                  .now_ns = now_ns,
                  .result = FB_MISS};
    if (one == NULL || fb_store_get(one->store, key, now_ns, take, &to) != FB_OK ||
        to.result == FB_MISS) {
        *value = (fb_value){0};
        return FB_MISS;
    }
    value->data.ptr = to.result == FB_OK ? bytes : NULL;
    value->tier = FB_TIER_MEMORY;
    value->owner = NULL;
    if (one->hints != NULL && to.result == FB_OK) {
        fb_hints_note(one->hints, to.hash, to.class_id, caller->stripe);
    }
    return to.result;
}

bool fb_reader_alive(fb_reader *reader) {
    return living(reader, fb_now_coarse_ns()) != NULL;
}

uint64_t fb_reader_generation(fb_reader *reader) {
    mapped *one = atomic_load_explicit(&reader->current, memory_order_acquire);
    return one != NULL ? fb_outside_generation(&one->outside) : 0;
}
