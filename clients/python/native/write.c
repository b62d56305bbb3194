// native/write.c -- the methods of Client that change something, exists() and ttl().

#include "client.h"

// -------------------------------------------------------------------------------------- writing

// The arguments of set() and add().
typedef struct fb_py_stored {
    fb_str key;
    fb_py_bytes value;  // to be released
    int64_t ttl_ms;
} fb_py_stored;

static bool take_stored(fb_py_client *self, PyObject *const *given, fb_py_stored *stored) {
    return fb_py_text(given[0], "key", &stored->key) &&
           fb_py_duration(self->state, given[2], "ttl", 0, &stored->ttl_ms) &&
           fb_py_encode(self->state, given[1], &stored->value);
}

static const char *const stored_names[] = {"key", "value", "ttl", NULL};

PyObject *fb_py_client_set(PyObject *object, PyObject *const *args, Py_ssize_t count,
                           PyObject *names) {
    static const fb_py_signature signature = {"set", stored_names, 2, 3};
    fb_py_client *self = fb_py_client_of(object);
    fb_error error = {0};
    PyObject *given[3];
    fb_py_stored stored;
    if (!fb_py_arguments(&signature, args, count, names, given) ||
        !take_stored(self, given, &stored)) {
        return NULL;
    }
    int result;
    FB_PY_CALL(self, result,
               fb_client_set(client, stored.key, stored.value.data, stored.ttl_ms, &error));
    Py_DECREF(stored.value.owner);
    return fb_py_client_none(self, result, &error);
}

PyObject *fb_py_client_add(PyObject *object, PyObject *const *args, Py_ssize_t count,
                           PyObject *names) {
    static const fb_py_signature signature = {"add", stored_names, 2, 3};
    fb_py_client *self = fb_py_client_of(object);
    fb_error error = {0};
    PyObject *given[3];
    fb_py_stored stored;
    if (!fb_py_arguments(&signature, args, count, names, given) ||
        !take_stored(self, given, &stored)) {
        return NULL;
    }
    int result;
    FB_PY_CALL(self, result,
               fb_client_add(client, stored.key, stored.value.data, stored.ttl_ms, &error));
    Py_DECREF(stored.value.owner);
    return fb_py_client_bool(self, result, &error);
}

PyObject *fb_py_client_delete(PyObject *object, PyObject *name) {
    fb_error error = {0};
    fb_str key;
    if (!fb_py_text(name, "key", &key)) {
        return NULL;
    }
    int result;
    FB_PY_CALL(fb_py_client_of(object), result, fb_client_del(client, key, &error));
    return fb_py_client_bool(fb_py_client_of(object), result, &error);
}

PyObject *fb_py_client_exists(PyObject *object, PyObject *name) {
    fb_error error = {0};
    fb_str key;
    if (!fb_py_text(name, "key", &key)) {
        return NULL;
    }
    int result;
    FB_PY_CALL(fb_py_client_of(object), result, fb_client_exists(client, key, &error));
    return fb_py_client_bool(fb_py_client_of(object), result, &error);
}

PyObject *fb_py_client_incr(PyObject *object, PyObject *const *args, Py_ssize_t count,
                            PyObject *names) {
    static const char *const known[] = {"key", "delta", NULL};
    static const fb_py_signature signature = {"incr", known, 1, 2};
    fb_py_client *self = fb_py_client_of(object);
    fb_error error = {0};
    PyObject *given[2];
    fb_str key;
    if (!fb_py_arguments(&signature, args, count, names, given) ||
        !fb_py_text(given[0], "key", &key)) {
        return NULL;
    }
    long long delta = given[1] ? PyLong_AsLongLong(given[1]) : 1;
    if (delta == -1 && PyErr_Occurred()) {
        return NULL;
    }
    int64_t number = 0;
    int result;
    FB_PY_CALL(self, result, fb_client_incr(client, key, delta, &number, &error));
    return result < 0 ? fb_py_client_fail(self, result, &error) : PyLong_FromLongLong(number);
}

PyObject *fb_py_client_expire(PyObject *object, PyObject *const *args, Py_ssize_t count,
                              PyObject *names) {
    static const char *const known[] = {"key", "ttl", NULL};
    static const fb_py_signature signature = {"expire", known, 2, 2};
    fb_py_client *self = fb_py_client_of(object);
    fb_error error = {0};
    PyObject *given[2];
    fb_str key;
    int64_t ttl_ms;
    if (!fb_py_arguments(&signature, args, count, names, given) ||
        !fb_py_text(given[0], "key", &key) ||
        !fb_py_duration(self->state, given[1], "ttl", -1, &ttl_ms)) {
        return NULL;
    }
    if (ttl_ms < 0) {
        PyErr_SetString(PyExc_TypeError, "ttl must be seconds or a timedelta, not None");
        return NULL;
    }
    int result;
    FB_PY_CALL(self, result, fb_client_expire(client, key, ttl_ms, &error));
    return fb_py_client_bool(self, result, &error);
}

PyObject *fb_py_client_ttl(PyObject *object, PyObject *name) {
    fb_py_client *self = fb_py_client_of(object);
    fb_error error = {0};
    fb_str key;
    if (!fb_py_text(name, "key", &key)) {
        return NULL;
    }
    int64_t ttl_ms = 0;
    int result;
    FB_PY_CALL(self, result, fb_client_ttl(client, key, &ttl_ms, &error));
    if (result != FB_OK) {
        return fb_py_client_none(self, result, &error);
    }
    return PyFloat_FromDouble(ttl_ms < 0 ? Py_HUGE_VAL : (double)ttl_ms / 1000.0);
}

typedef struct fb_py_pairs {
    Py_ssize_t count, ready;
    PyObject *items;  // list of tuples: holds the keys
    fb_str *keys;
    fb_py_bytes *values;
} fb_py_pairs;

static void release_pairs(fb_py_pairs *pairs) {
    for (Py_ssize_t i = 0; i < pairs->ready; i++) {
        Py_DECREF(pairs->values[i].owner);
    }
    PyMem_Free(pairs->keys);
    PyMem_Free(pairs->values);
    Py_XDECREF(pairs->items);
}

static bool take_pairs(fb_py_client *self, PyObject *mapping, fb_py_pairs *pairs) {
    pairs->items = PyMapping_Items(mapping);
    if (!pairs->items) {
        if (PyErr_ExceptionMatches(PyExc_AttributeError)) {
            PyErr_Format(PyExc_TypeError, "set_many() takes a mapping, not %.80s",
                         Py_TYPE(mapping)->tp_name);
        }
        return false;
    }
    pairs->count = PyList_GET_SIZE(pairs->items);
    pairs->keys = PyMem_Calloc((size_t)pairs->count + 1, sizeof *pairs->keys);
    pairs->values = PyMem_Calloc((size_t)pairs->count + 1, sizeof *pairs->values);
    if (!pairs->keys || !pairs->values) {
        PyErr_NoMemory();
        return false;
    }
    for (; pairs->ready < pairs->count; pairs->ready++) {
        PyObject *item = PyList_GET_ITEM(pairs->items, pairs->ready);
        if (!PyTuple_Check(item) || PyTuple_GET_SIZE(item) != 2) {
            PyErr_SetString(PyExc_TypeError, "items() of the mapping gave no pairs");
            return false;
        }
        if (!fb_py_text(PyTuple_GET_ITEM(item, 0), "key", &pairs->keys[pairs->ready]) ||
            !fb_py_encode(self->state, PyTuple_GET_ITEM(item, 1), &pairs->values[pairs->ready])) {
            return false;
        }
    }
    return true;
}

static int set_pairs(fb_client *client, const fb_py_pairs *pairs, int64_t ttl_ms, fb_error *error) {
    int result = FB_OK;
    for (Py_ssize_t i = 0; i < pairs->count && result >= 0; i++) {
        result = fb_client_set(client, pairs->keys[i], pairs->values[i].data, ttl_ms, error);
    }
    return result;
}

PyObject *fb_py_client_set_many(PyObject *object, PyObject *const *args, Py_ssize_t count,
                                PyObject *names) {
    static const char *const known[] = {"mapping", "ttl", NULL};
    static const fb_py_signature signature = {"set_many", known, 1, 2};
    fb_py_client *self = fb_py_client_of(object);
    PyObject *given[2], *done = NULL;
    fb_py_pairs pairs = {0};
    fb_error error = {0};
    int64_t ttl_ms;
    if (!fb_py_arguments(&signature, args, count, names, given) ||
        !fb_py_duration(self->state, given[1], "ttl", 0, &ttl_ms)) {
        return NULL;
    }
    if (take_pairs(self, given[0], &pairs)) {
        int result;
        FB_PY_CALL(self, result, set_pairs(client, &pairs, ttl_ms, &error));
        done = fb_py_client_none(self, result, &error);
    }
    release_pairs(&pairs);
    return done;
}

// --------------------------------------------------------------------------------- invalidation

static const char *const scope_names[] = {"key",       "pattern",    "tag",  "class_",
                                          "namespace", "everything", "soft", NULL};
enum { SCOPES = 6, SOFT = 6 };

static bool is_given(PyObject *const *given, int i) {
    return given[i] && given[i] != Py_None && !(i == FB_SCOPE_ALL && given[i] == Py_False);
}

static bool take_scope(PyObject *const *given, fb_invalidation *what) {
    int named = 0;
    for (int i = 0; i < SCOPES; i++) {
        if (is_given(given, i)) {
            named++;
            what->scope = (fb_scope)i;
        }
    }
    if (named != 1) {
        PyErr_SetString(PyExc_TypeError,
                        "invalidate() takes one of key, pattern, tag, class_, "
                        "namespace, everything=True");
        return false;
    }
    if (what->scope == FB_SCOPE_ALL && given[FB_SCOPE_ALL] != Py_True) {
        PyErr_SetString(PyExc_TypeError, "invalidate(): everything must be True");
        return false;
    }
    return what->scope == FB_SCOPE_ALL ||
           fb_py_text(given[what->scope], scope_names[what->scope], &what->name);
}

PyObject *fb_py_client_invalidate(PyObject *object, PyObject *const *args, Py_ssize_t count,
                                  PyObject *names) {
    _Static_assert(FB_SCOPE_KEY == 0 && FB_SCOPE_ALL == SCOPES - 1, "the scopes in their order");
    static const fb_py_signature signature = {"invalidate", scope_names, 0, 1};
    fb_py_client *self = fb_py_client_of(object);
    PyObject *given[SCOPES + 1];
    fb_invalidation what = {0};
    fb_error error = {0};
    if (!fb_py_arguments(&signature, args, count, names, given) || !take_scope(given, &what)) {
        return NULL;
    }
    int soft = given[SOFT] ? PyObject_IsTrue(given[SOFT]) : 0;
    if (soft < 0) {
        return NULL;
    }
    what.soft = soft;
    int result;
    FB_PY_CALL(self, result, fb_client_invalidate(client, &what, &error));
    return fb_py_client_none(self, result, &error);
}
