// native/read.c -- the methods of Client that read: get() and its kin, get_many(), fetch().

#include "client.h"

#include <string.h>

enum {
    PEEKS_MAX = 4,  // how often a value may grow while it is looked at
    PARAMS_MAX = 64
};

// -------------------------------------------------------------------------------------- reading

// A value that has no room on the stack. It may grow between two looks; then there is more to ask.
// FB_OK: *bytes holds it, to be freed. Else as fb_client_peek().
static int peek_large(fb_client *client, fb_str key, fb_value *value, char **bytes) {
    int result = FB_ETOOBIG;
    *bytes = NULL;
    for (int i = 0; i < PEEKS_MAX && result == FB_ETOOBIG; i++) {
        size_t room = value->data.len;
        char *larger = PyMem_Realloc(*bytes, room);
        if (!larger) {
            break;
        }
        *bytes = larger;
        result = fb_client_peek(client, key, larger, room, value);
    }
    return result;
}

// What is in memory: a new reference. NULL with *result: FB_OK and an exception, FB_OK and none (it
// does not come in this form), else not there.
static PyObject *peek(fb_py_client *self, fb_client *client, fb_str key, fb_py_form form,
                      int *result) {
    char room[FB_PY_ROOM];
    fb_value value;
    *result = fb_client_peek(client, key, room, sizeof room, &value);
    if (*result == FB_OK) {
        return fb_py_decode(self->state, value.data, value.kind, form);
    }
    if (*result != FB_ETOOBIG) {
        return NULL;
    }
    char *bytes;
    *result = peek_large(client, key, &value, &bytes);
    PyObject *decoded =
        *result == FB_OK ? fb_py_decode(self->state, value.data, value.kind, form) : NULL;
    PyMem_Free(bytes);
    return decoded;
}

static PyObject *or_default(PyObject *fallback) {
    if (PyErr_Occurred()) {
        return NULL;
    }
    fallback = fallback ? fallback : Py_None;
    Py_INCREF(fallback);
    return fallback;
}

// From the daemon.
static PyObject *ask(fb_py_client *self, fb_str key, fb_py_form form, PyObject *fallback) {
    fb_value value = {0};
    fb_error error;
    error.text[0] = '\0';
    int result;
    FB_PY_CALL(self, result, fb_client_get(client, key, &value, &error));
    if (result < 0) {
        return fb_py_client_fail(self, result, &error);
    }
    PyObject *decoded = NULL;
    if (result == FB_OK) {
        decoded = fb_py_decode(self->state, value.data, value.kind, form);
        fb_value_release(&value);
    }
    return decoded ? decoded : or_default(fallback);
}

static const char *const get_names[] = {"key", "default", NULL};

// get(), get_bytes(), peek() and the cached functions' own: `wait` says whether the daemon is
// asked.
static inline PyObject *look_up(PyObject *object, const char *function, PyObject *const *args,
                                Py_ssize_t count, PyObject *names, fb_py_form form, bool wait) {
    fb_py_client *self = fb_py_client_of(object);
    PyObject *given[2] = {count > 0 ? args[0] : NULL, count > 1 ? args[1] : NULL};
    if (count < 1 || count > 2 || names) {
        fb_py_signature signature = {function, get_names, 1, 2};
        if (!fb_py_arguments(&signature, args, count, names, given)) {
            return NULL;
        }
    }
    fb_str key;
    if (!fb_py_text(given[0], "key", &key)) {
        return NULL;
    }
    fb_client *client = fb_py_client_opened(self);
    if (!client) {
        return NULL;
    }
    int result;
    PyObject *value = peek(self, client, key, form, &result);
    if (value) {
        return value;
    }
    if (fb_py_client_noted(self) && !PyErr_Occurred()) {
        fb_py_client_tell(self);
    }
    return result == FB_OK || !wait ? or_default(given[1]) : ask(self, key, form, given[1]);
}

PyObject *fb_py_client_get(PyObject *self, PyObject *const *args, Py_ssize_t count,
                           PyObject *names) {
    return look_up(self, "get", args, count, names, FB_PY_VALUE, true);
}

PyObject *fb_py_client_get_bytes(PyObject *self, PyObject *const *args, Py_ssize_t count,
                                 PyObject *names) {
    return look_up(self, "get_bytes", args, count, names, FB_PY_BYTES, true);
}

PyObject *fb_py_client_peek(PyObject *self, PyObject *const *args, Py_ssize_t count,
                            PyObject *names) {
    return look_up(self, "peek", args, count, names, FB_PY_VALUE, false);
}

PyObject *fb_py_client_peek_result(PyObject *self, PyObject *const *args, Py_ssize_t count,
                                   PyObject *names) {
    return look_up(self, "_peek_result", args, count, names, FB_PY_RESULT, false);
}

// --------------------------------------------------------------------------------- many at once

// What memory lacked, asked of the daemon in one round trip.
typedef struct fb_py_many {
    PyObject *list;  // holds the keys; nobody else has it
    size_t count;
    fb_str *keys;
    fb_value *values;
    int *results;
} fb_py_many;

static void release_many(fb_py_many *many) {
    for (size_t i = 0; many->values && many->results && i < many->count; i++) {
        if (many->results[i] == FB_OK) {
            fb_value_release(&many->values[i]);
        }
    }
    PyMem_Free(many->keys);
    PyMem_Free(many->values);
    PyMem_Free(many->results);
}

static bool take_many(fb_py_many *many) {
    many->keys = PyMem_Calloc(many->count, sizeof *many->keys);
    many->values = PyMem_Calloc(many->count, sizeof *many->values);
    many->results = PyMem_Calloc(many->count, sizeof *many->results);
    if (!many->keys || !many->values || !many->results) {
        PyErr_NoMemory();
        return false;
    }
    for (size_t i = 0; i < many->count; i++) {
        many->results[i] = FB_MISS;
        if (!fb_py_text(PyList_GET_ITEM(many->list, (Py_ssize_t)i), "key", &many->keys[i])) {
            return false;
        }
    }
    return true;
}

static bool add_found(fb_py_client *self, const fb_py_many *many, PyObject *found) {
    bool good = true;
    for (size_t i = 0; good && i < many->count; i++) {
        if (many->results[i] == FB_OK) {
            const fb_value *value = &many->values[i];
            PyObject *decoded = fb_py_decode(self->state, value->data, value->kind, FB_PY_VALUE);
            PyObject *key = PyList_GET_ITEM(many->list, (Py_ssize_t)i);
            good = decoded && PyDict_SetItem(found, key, decoded) == 0;
            Py_XDECREF(decoded);
        }
    }
    return good;
}

static bool ask_many(fb_py_client *self, PyObject *missing, PyObject *found) {
    fb_py_many many = {.list = missing, .count = (size_t)PyList_GET_SIZE(missing)};
    fb_error error = {0};
    bool good = many.count == 0 || take_many(&many);
    if (good && many.count > 0) {
        int result;
        FB_PY_CALL(
            self, result,
            fb_client_get_many(client, many.keys, many.count, many.values, many.results, &error));
        good = result < 0 ? fb_py_client_fail(self, result, &error) != NULL
                          : add_found(self, &many, found);
    }
    release_many(&many);
    return good;
}

// Puts what memory has of `keys` into `found`, the others into `missing`.
static bool peek_many(fb_py_client *self, PyObject *keys, PyObject *found, PyObject *missing) {
    bool good = true;
    for (Py_ssize_t i = 0; good && i < PyTuple_GET_SIZE(keys); i++) {
        PyObject *key = PyTuple_GET_ITEM(keys, i);
        fb_client *client = fb_py_client_opened(self);
        fb_str text;
        if (!client || !fb_py_text(key, "key", &text)) {
            return false;
        }
        int result;
        PyObject *value = peek(self, client, text, FB_PY_VALUE, &result);
        good = value ? PyDict_SetItem(found, key, value) == 0
                     : !PyErr_Occurred() && PyList_Append(missing, key) == 0;
        Py_XDECREF(value);
    }
    return good;
}

PyObject *fb_py_client_get_many(PyObject *object, PyObject *keys) {
    fb_py_client *self = fb_py_client_of(object);
    if (PyUnicode_Check(keys) || PyBytes_Check(keys)) {
        PyErr_Format(PyExc_TypeError, "get_many() takes several keys, not one %s",
                     Py_TYPE(keys)->tp_name);
        return NULL;
    }
    // A tuple of our own: nobody changes it meanwhile.
    PyObject *tuple = PySequence_Tuple(keys), *found = PyDict_New(), *missing = PyList_New(0);
    if (!tuple || !found || !missing || !peek_many(self, tuple, found, missing) ||
        !ask_many(self, missing, found)) {
        Py_CLEAR(found);
    }
    Py_XDECREF(tuple);
    Py_XDECREF(missing);
    return found;
}

// ------------------------------------------------------------------------------------- fetching

typedef struct fb_py_fetch {
    fb_client_request request;
    fb_param params[PARAMS_MAX];
    PyObject *owned[2 * PARAMS_MAX];  // names and values that nobody else may hold meanwhile
    size_t owned_count;
} fb_py_fetch;

static void release_fetch(fb_py_fetch *fetch) {
    for (size_t i = 0; i < fetch->owned_count; i++) {
        Py_DECREF(fetch->owned[i]);
    }
}

// Takes a reference over.
static void own(fb_py_fetch *fetch, PyObject *object) {
    fetch->owned[fetch->owned_count++] = object;
}

// The text of a number, or of what is text already.
static bool take_param_value(fb_py_fetch *fetch, PyObject *value, fb_param *param) {
    if (PyUnicode_Check(value) || PyBytes_Check(value)) {
        return fb_py_text(value, "a parameter", &param->value);
    }
    if (PyBool_Check(value)) {
        param->value = value == Py_True ? FB_STR("1") : FB_STR("0");
        return true;
    }
    if (!PyLong_Check(value) && !PyFloat_Check(value)) {
        PyErr_Format(PyExc_TypeError,
                     "fetch(): the parameter '%s' must be str, bytes, int or float, not %.200s",
                     param->name.ptr, Py_TYPE(value)->tp_name);
        return false;
    }
    PyObject *text = PyLong_Check(value) ? PyLong_Type.tp_repr(value) : PyFloat_Type.tp_repr(value);
    if (!text) {
        return false;
    }
    own(fetch, text);
    return fb_py_text(text, "a parameter", &param->value);
}

static bool add_param(fb_py_fetch *fetch, PyObject *name, PyObject *value) {
    size_t i = fetch->request.param_count;
    if (i == PARAMS_MAX) {
        PyErr_SetString(PyExc_ValueError, "fetch() takes at most 64 parameters");
        return false;
    }
    if (!PyUnicode_Check(name)) {
        PyErr_SetString(PyExc_TypeError, "fetch(): names of parameters are str");
        return false;
    }
    fb_param *param = &fetch->params[i];
    if (!fb_py_text(name, "a name", &param->name) ||
        !take_param_value(fetch, value, param)) {
        return false;
    }
    fetch->request.param_count++;
    return true;
}

static bool add_option(fb_py_client *self, fb_py_fetch *fetch, PyObject *name, PyObject *value) {
    if (PyUnicode_CompareWithASCIIString(name, "timeout") == 0) {
        return fb_py_duration(self->state, value, "timeout", 0, &fetch->request.timeout_ms);
    }
    if (PyUnicode_CompareWithASCIIString(name, "refresh") == 0) {
        int truth = PyObject_IsTrue(value);
        fetch->request.refresh = truth > 0;
        return truth >= 0;
    }
    return add_param(fetch, name, value);
}

static bool add_params(fb_py_fetch *fetch, PyObject *dict) {
    if (!PyDict_Check(dict)) {
        PyErr_Format(PyExc_TypeError, "fetch(): the parameters must be a dict, not %.200s",
                     Py_TYPE(dict)->tp_name);
        return false;
    }
    PyObject *name, *value;
    Py_ssize_t at = 0;
    while (PyDict_Next(dict, &at, &name, &value)) {
        if (!add_param(fetch, name, value)) {
            return false;
        }
        // The dict may change before this is sent: what is lent by its names and texts is held.
        Py_INCREF(name);
        own(fetch, name);
        if (PyUnicode_Check(value) || PyBytes_Check(value)) {
            Py_INCREF(value);
            own(fetch, value);
        }
    }
    return true;
}

static bool take_fetch(fb_py_client *self, PyObject *const *args, Py_ssize_t count, PyObject *names,
                       fb_py_fetch *fetch) {
    if (count < 1 || count > 2) {
        PyErr_SetString(PyExc_TypeError, "fetch() takes a class, and perhaps a dict of parameters");
        return false;
    }
    if (!fb_py_text(args[0], "class", &fetch->request.class_name) ||
        (count == 2 && args[1] != Py_None && !add_params(fetch, args[1]))) {
        return false;
    }
    for (Py_ssize_t i = 0; names && i < PyTuple_GET_SIZE(names); i++) {
        if (!add_option(self, fetch, PyTuple_GET_ITEM(names, i), args[count + i])) {
            return false;
        }
    }
    return true;
}

// A new reference, or NULL: with an exception, or none where it is not in memory.
static PyObject *peek_fetch(fb_py_client *self, const fb_client_request *request) {
    char room[FB_PY_ROOM];
    fb_value value;
    fb_client *client = fb_py_client_opened(self);
    // A large value comes over the socket; growing for it here is not worth the second look.
    if (!client || fb_client_peek_fetch(client, request, room, sizeof room, &value) != FB_OK) {
        return NULL;
    }
    return fb_py_decode(self->state, value.data, value.kind, FB_PY_VALUE);
}

static PyObject *ask_fetch(fb_py_client *self, const fb_client_request *request) {
    fb_value value = {0};
    fb_error error;
    error.text[0] = '\0';
    int result;
    FB_PY_CALL(self, result, fb_client_fetch(client, request, &value, &error));
    if (result != FB_OK) {
        return fb_py_client_none(self, result, &error);
    }
    PyObject *decoded = fb_py_decode(self->state, value.data, value.kind, FB_PY_VALUE);
    fb_value_release(&value);
    return decoded;
}

PyObject *fb_py_client_fetch(PyObject *object, PyObject *const *args, Py_ssize_t count,
                             PyObject *names) {
    fb_py_client *self = fb_py_client_of(object);
    fb_py_fetch fetch;
    memset(&fetch.request, 0, sizeof fetch.request);
    fetch.owned_count = 0;
    fetch.request.params = fetch.params;
    PyObject *value = NULL;
    if (take_fetch(self, args, count, names, &fetch)) {
        value = fetch.request.refresh ? NULL : peek_fetch(self, &fetch.request);
        if (!value && !PyErr_Occurred()) {
            value = ask_fetch(self, &fetch.request);
        }
    }
    release_fetch(&fetch);
    return value;
}
