// forebay/registry.h -- heavy objects, each made once per process: a model, a connection, an index.
//
// The first who asks for a name makes it; all others wait for that and get the same pointer; later
// calls return it at once. A failed attempt is told to those who waited and can be tried again.
// Threads: any, at the same time. Different names are made in parallel. A maker may ask for other
// names; two makers on two threads that ask for each other's wait for ever. Processes: a child that
// was forked has what was made before; for what was being made just then it would wait for ever.

#ifndef FOREBAY_REGISTRY_H
#define FOREBAY_REGISTRY_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_registry fb_registry;

// FB_ENOMEM.
FB_API FB_CHECK_RESULT int fb_registry_new(fb_registry **registry);
// Calls each object's `drop`. Nobody may be inside fb_registry_get(). NULL is fine.
FB_API void fb_registry_free(fb_registry *registry);

// Makes the object: 0 with *object, or an error (< 0).
typedef int (*fb_make_fn)(void *arg, fb_str name, void **object);
typedef void (*fb_drop_fn)(void *object);

// FB_OK with *object, owned by the registry. What `make` returned, if it failed. FB_EINVAL: `make`
// asked for the name it is making. `drop` may be NULL.
FB_API FB_CHECK_RESULT int fb_registry_get(fb_registry *registry, fb_str name, fb_make_fn make,
                                           void *arg, fb_drop_fn drop, void **object);
// Forgets and drops `name`, so that the next who asks makes it anew; where it is being made, as
// soon as it is. FB_MISS: there is no such object. The caller sees to it that nobody uses it any
// more.
FB_API FB_CHECK_RESULT int fb_registry_forget(fb_registry *registry, fb_str name);

#ifdef __cplusplus
}
#endif

#endif
