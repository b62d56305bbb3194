// native/client.h -- the object Client, for the files that its methods are in.
//
// A read looks into memory first, with the GIL held: that is a hundred nanoseconds and no system
// call, less than giving the GIL up and taking it again would cost. Whatever may wait comes after
// that, in FB_PY_CALL(), without the GIL.
//
// While calls are under way the C client must not be closed. They are counted under the GIL;
// close() only takes the client away from new calls, and whoever leaves last closes it.
//
// After fork() the child has the same object; the C client knows what to do. A call that another
// thread of the parent had under way is never counted down in the child, so there close() leaves
// the client open: a leak of some memory, in a case that gives no choice.

#ifndef FB_PY_CLIENT_H
#define FB_PY_CLIENT_H

#include "native.h"

#include <stdatomic.h>

enum {
    FB_PY_ROOM = 4096,  // bytes on the stack for what is read
    FB_PY_NOTES = 4     // warnings that wait to be told; more are dropped
};

typedef struct fb_py_note {
    atomic_int state;
    char event[32];
    char text[256];
} fb_py_note;

typedef struct fb_py_client {
    PyObject object;
    fb_client *client;   // NULL: not opened, or closed
    fb_client *closing;  // closed by the last of `calls`
    const fb_py_state *state;
    PyObject *module;   // keeps `state`
    Py_ssize_t calls;   // under way without the GIL
    atomic_bool noted;  // some note is ready
    fb_py_note notes[FB_PY_NOTES];
} fb_py_client;

static inline fb_py_client *fb_py_client_of(PyObject *object) {
    return (fb_py_client *)object;
}

// The C client, or NULL with an exception.
static inline fb_client *fb_py_client_opened(fb_py_client *self) {
    if (!self->client) {
        PyErr_SetString(PyExc_ValueError, "this client is closed");
    }
    return self->client;
}

// Tells what has been noted to Python's logging; with the GIL and no exception set.
void fb_py_client_tell(fb_py_client *self);
static inline bool fb_py_client_noted(const fb_py_client *self) {
    return atomic_load_explicit(&self->noted, memory_order_relaxed);
}

// Before and after a call without the GIL. begin() returns NULL with an exception.
fb_client *fb_py_client_begin(fb_py_client *self);
void fb_py_client_end(fb_py_client *self);

// begin(), the call without the GIL, end(). `client` names the C client in the call.
#define FB_PY_CALL(self, result, call)                   \
    do {                                                 \
        fb_client *client = fb_py_client_begin(self);    \
        if (!client) {                                   \
            result = FB_ECLOSED;                         \
        } else {                                         \
            PyThreadState *thread = PyEval_SaveThread(); \
            result = call;                               \
            PyEval_RestoreThread(thread);                \
            fb_py_client_end(self);                      \
        }                                                \
    } while (false)

// The ends of a call. Raises for a result < 0, unless begin() has done so; else None, or whether
// the result is FB_OK.
PyObject *fb_py_client_fail(fb_py_client *self, int result, const fb_error *error);
PyObject *fb_py_client_none(fb_py_client *self, int result, const fb_error *error);
PyObject *fb_py_client_bool(fb_py_client *self, int result, const fb_error *error);

// The methods, by the names they have in Python; the type's table is in client.c.
#define FB_PY_FAST(name)                                                                     \
    PyObject *fb_py_client_##name(PyObject *object, PyObject *const *args, Py_ssize_t count, \
                                  PyObject *names)
#define FB_PY_ONE(name) PyObject *fb_py_client_##name(PyObject *object, PyObject *argument)
FB_PY_FAST(get);
FB_PY_FAST(get_bytes);
FB_PY_FAST(peek);
FB_PY_FAST(peek_result);
FB_PY_FAST(fetch);
FB_PY_ONE(get_many);
FB_PY_FAST(set);
FB_PY_FAST(set_many);
FB_PY_FAST(add);
FB_PY_FAST(incr);
FB_PY_FAST(expire);
FB_PY_FAST(invalidate);
FB_PY_ONE(delete);
FB_PY_ONE(exists);
FB_PY_ONE(ttl);
#undef FB_PY_FAST
#undef FB_PY_ONE

#endif
