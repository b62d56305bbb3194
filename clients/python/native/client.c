// native/client.c -- the type Client: opening, closing, warnings, the table of methods.
//
// Warnings come from whichever thread notices an outage, with or without the GIL. So they are put
// down in a few places that need no lock, and told to Python's logging when the call that noticed
// it, or the next one, has the GIL.

#include "client.h"

#include <stdio.h>
#include <string.h>

typedef enum fb_py_note_state { NOTE_FREE, NOTE_TAKEN, NOTE_READY } fb_py_note_state;

// ------------------------------------------------------------------------------------- warnings

// The hook of fb_client_options: any thread, with the GIL or without.
static void note(void *arg, const char *event, const char *text) {
    fb_py_client *self = arg;
    for (int i = 0; i < FB_PY_NOTES; i++) {
        int expected = NOTE_FREE;
        if (atomic_compare_exchange_strong(&self->notes[i].state, &expected, NOTE_TAKEN)) {
            snprintf(self->notes[i].event, sizeof self->notes[i].event, "%s", event);
            snprintf(self->notes[i].text, sizeof self->notes[i].text, "%s", text);
            atomic_store(&self->notes[i].state, NOTE_READY);
            atomic_store(&self->noted, true);
            return;
        }
    }
}

static void tell(fb_py_client *self, fb_py_note *ready) {
    // The text may have been cut within a character.
    PyObject *text = PyUnicode_DecodeUTF8(ready->text, (Py_ssize_t)strlen(ready->text), "replace");
    PyObject *done =
        text ? PyObject_CallFunction(self->state->report, "sO", ready->event, text) : NULL;
    Py_XDECREF(text);
    atomic_store(&ready->state, NOTE_FREE);
    if (!done) {
        PyErr_WriteUnraisable((PyObject *)self);
    }
    Py_XDECREF(done);
}

// What is told may run any Python code.
void fb_py_client_tell(fb_py_client *self) {
    atomic_store(&self->noted, false);
    for (int i = 0; i < FB_PY_NOTES; i++) {
        int expected = NOTE_READY;
        if (atomic_compare_exchange_strong(&self->notes[i].state, &expected, NOTE_TAKEN)) {
            tell(self, &self->notes[i]);
        }
    }
}

// ------------------------------------------------------------------------- the client, under way

fb_client *fb_py_client_begin(fb_py_client *self) {
    fb_client *client = fb_py_client_opened(self);
    self->calls += client != NULL;
    return client;
}

void fb_py_client_end(fb_py_client *self) {
    self->calls--;
    if (self->calls == 0 && self->closing) {
        fb_client_close(self->closing);
        self->closing = NULL;
    }
    if (fb_py_client_noted(self)) {
        fb_py_client_tell(self);
    }
}

PyObject *fb_py_client_fail(fb_py_client *self, int result, const fb_error *error) {
    return PyErr_Occurred() ? NULL : fb_py_raise(self->state, result, error);
}

PyObject *fb_py_client_none(fb_py_client *self, int result, const fb_error *error) {
    if (result < 0) {
        return fb_py_client_fail(self, result, error);
    }
    Py_RETURN_NONE;
}

PyObject *fb_py_client_bool(fb_py_client *self, int result, const fb_error *error) {
    return result < 0 ? fb_py_client_fail(self, result, error) : PyBool_FromLong(result == FB_OK);
}

// ------------------------------------------------------------------------------ opening, closing

static PyObject *client_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *module = PyImport_ImportModule("forebay._native");
    fb_py_client *self = module ? (fb_py_client *)type->tp_alloc(type, 0) : NULL;
    if (!self) {
        Py_XDECREF(module);
        return NULL;
    }
    self->module = module;
    self->state = PyModule_GetState(module);
    return (PyObject *)self;
}

static bool read_url(PyObject *object, fb_str *url) {
    return object == Py_None || fb_py_text(object, "url", url);
}

static int client_init(PyObject *object, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"url",         "timeout", "retry",     "private_bytes",
                            "private_ttl", "region",  "any_owner", NULL};
    fb_py_client *self = fb_py_client_of(object);
    PyObject *url = Py_None, *timeout = NULL, *retry = NULL, *private_ttl = NULL;
    unsigned long long private_bytes = 0;
    int region = 1, any_owner = 0;
    fb_client_options options = {.warn = note, .warn_arg = self};
    fb_error error = {0};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O$OOKOpp:Client", names, &url, &timeout,
                                     &retry, &private_bytes, &private_ttl, &region, &any_owner) ||
        !read_url(url, &options.url) ||
        !fb_py_duration(self->state, timeout, "timeout", 0, &options.timeout_ms) ||
        !fb_py_duration(self->state, retry, "retry", 0, &options.retry_ms) ||
        !fb_py_duration(self->state, private_ttl, "private_ttl", 0, &options.private_ttl_ms)) {
        return -1;
    }
    if (self->client || self->closing) {
        PyErr_SetString(PyExc_ValueError, "this client is open already");
        return -1;
    }
    options.private_bytes = private_bytes;
    options.no_region = !region;
    options.any_owner = any_owner;
    int result = fb_client_open(&options, &self->client, &error);
    if (result < 0) {
        self->client = NULL;
        fb_py_raise(self->state, result, &error);
        return -1;
    }
    return 0;
}

static PyObject *client_close(PyObject *object, PyObject *unused) {
    fb_py_client *self = fb_py_client_of(object);
    fb_client *client = self->client;
    self->client = NULL;
    if (client && self->calls > 0) {
        self->closing = client;
    } else {
        fb_client_close(client);
    }
    Py_RETURN_NONE;
}

static PyObject *client_enter(PyObject *object, PyObject *unused) {
    Py_INCREF(object);
    return object;
}

static PyObject *client_exit(PyObject *object, PyObject *const *args, Py_ssize_t count) {
    return client_close(object, NULL);
}

static int client_traverse(PyObject *object, visitproc visit, void *arg) {
    Py_VISIT(fb_py_client_of(object)->module);
#if PY_VERSION_HEX >= 0x03090000
    Py_VISIT(Py_TYPE(object));
#endif
    return 0;
}

// No call is under way here: each holds a reference.
static void client_dealloc(PyObject *object) {
    fb_py_client *self = fb_py_client_of(object);
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    fb_client_close(self->client);
    Py_CLEAR(self->module);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyObject *client_figures(PyObject *object, PyObject *unused) {
    fb_client *client = fb_py_client_opened(fb_py_client_of(object));
    if (!client) {
        return NULL;
    }
    fb_client_figures figures;
    fb_client_figures_read(client, &figures);
    return Py_BuildValue("{sKsKsKsKsOsO}", "region_hits", (unsigned long long)figures.region_hits,
                         "requests", (unsigned long long)figures.requests, "failures",
                         (unsigned long long)figures.failures, "private_hits",
                         (unsigned long long)figures.private_hits, "daemon_there",
                         figures.daemon_there ? Py_True : Py_False, "region_there",
                         figures.region_there ? Py_True : Py_False);
}

// ------------------------------------------------------------------------------------- the type

#define FAST(name, function, doc) \
    { name, (PyCFunction)(void (*)(void))function, METH_FASTCALL | METH_KEYWORDS, doc }

static PyMethodDef methods[] = {
    FAST("get", fb_py_client_get,
         "get($self, key, default=None)\n--\n\n"
         "What is kept under key: the value of its JSON, or bytes where it is none."),
    FAST("get_bytes", fb_py_client_get_bytes,
         "get_bytes($self, key, default=None)\n--\n\n"
         "What is kept under key, byte for byte."),
    FAST("peek", fb_py_client_peek,
         "peek($self, key, default=None)\n--\n\n"
         "As get(), but from this host's memory alone: never waits, makes no system call. What is\n"
         "not found there may still be found by get()."),
    FAST("_peek_result", fb_py_client_peek_result,
         "_peek_result($self, key, default=None)\n--\n\n"
         "As peek(), for what a cached function returned."),
    {"get_many", fb_py_client_get_many, METH_O,
     "get_many($self, keys, /)\n--\n\n"
     "Those of the keys that are there, as a dict; one round trip for all that memory lacks."},
    FAST("set", fb_py_client_set,
         "set($self, key, value, ttl=None)\n--\n\n"
         "Keeps value: bytes as they are, everything else as JSON."),
    FAST("set_many", fb_py_client_set_many,
         "set_many($self, mapping, ttl=None)\n--\n\n"
         "set() of every key and value, one after the other."),
    FAST("add", fb_py_client_add,
         "add($self, key, value, ttl=None)\n--\n\n"
         "set() if the key is not there. Whether it was done."),
    {"delete", fb_py_client_delete, METH_O,
     "delete($self, key, /)\n--\n\nForgets key. Whether it was there."},
    {"exists", fb_py_client_exists, METH_O, "exists($self, key, /)\n--\n\nWhether key is there."},
    FAST("incr", fb_py_client_incr,
         "incr($self, key, delta=1)\n--\n\n"
         "Adds to the integer at key (0 if it is not there). The sum."),
    FAST(
        "expire", fb_py_client_expire,
        "expire($self, key, ttl)\n--\n\nSets how long key lives from now on. Whether it is there."),
    {"ttl", fb_py_client_ttl, METH_O,
     "ttl($self, key, /)\n--\n\n"
     "The seconds that key still lives: inf if it never expires, None if it is not there."},
    FAST(
        "fetch", fb_py_client_fetch,
        "fetch($self, class_, params=None, /, *, timeout=None, refresh=False, **parameters)\n--\n\n"
        "Reads through the cache: what the class's source has for these parameters, or None if\n"
        "there is no such thing."),
    FAST("invalidate", fb_py_client_invalidate,
         "invalidate($self, key=None, *, pattern=None, tag=None, class_=None, namespace=None, "
         "everything=False, soft=False)\n--\n\n"
         "Makes entries gone (soft: stale), and overtakes their loads."),
    {"figures", client_figures, METH_NOARGS,
     "figures($self, /)\n--\n\nWhat this client did and sees, as a dict."},
    {"close", client_close, METH_NOARGS,
     "close($self, /)\n--\n\nCloses the connections. Calls under way end first."},
    {"__enter__", client_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))client_exit, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot type_slots[] = {
    {Py_tp_doc, (void *)"Client(url=None, *, timeout=1.0, retry=0.5, private_bytes=16777216, "
                        "private_ttl=60.0, region=True, any_owner=False)\n--\n\n"
                        "The C part of forebay.Client."},
    {Py_tp_new, (void *)client_new},
    {Py_tp_init, (void *)client_init},
    {Py_tp_dealloc, (void *)client_dealloc},
    {Py_tp_traverse, (void *)client_traverse},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyType_Spec type_spec = {
    .name = "forebay._native.Client",
    .basicsize = sizeof(fb_py_client),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = type_slots,
};

PyObject *fb_py_client_type(void) {
    return PyType_FromSpec(&type_spec);
}
