// native/arguments.c -- what callers pass, checked and taken out of Python's objects.
//
// PyArg_Parse* makes a tuple and a walk over a format string of each call. The few lines here work
// on the array that METH_FASTCALL hands over, so that get(key) costs no more than its look-up.

#include "native.h"

#include <math.h>

static Py_ssize_t name_index(const fb_py_signature *signature, PyObject *name) {
    for (Py_ssize_t i = 0; signature->names[i]; i++) {
        if (PyUnicode_CompareWithASCIIString(name, signature->names[i]) == 0) {
            return i;
        }
    }
    return -1;
}

static bool take_named(const fb_py_signature *signature, PyObject *name, PyObject *value,
                       PyObject **out) {
    Py_ssize_t i = name_index(signature, name);
    if (i < 0) {
        PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'",
                     signature->function, name);
        return false;
    }
    if (out[i]) {
        PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument '%U'",
                     signature->function, name);
        return false;
    }
    out[i] = value;
    return true;
}

bool fb_py_arguments(const fb_py_signature *signature, PyObject *const *args, Py_ssize_t count,
                     PyObject *names, PyObject **out) {
    if (count > signature->positional) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most %zd positional argument%s (%zd given)",
                     signature->function, signature->positional,
                     signature->positional == 1 ? "" : "s", count);
        return false;
    }
    for (Py_ssize_t i = 0; signature->names[i]; i++) {
        out[i] = i < count ? args[i] : NULL;
    }
    Py_ssize_t named = names ? PyTuple_GET_SIZE(names) : 0;
    for (Py_ssize_t i = 0; i < named; i++) {
        if (!take_named(signature, PyTuple_GET_ITEM(names, i), args[count + i], out)) {
            return false;
        }
    }
    for (Py_ssize_t i = 0; i < signature->required; i++) {
        if (!out[i]) {
            PyErr_Format(PyExc_TypeError, "%s() missing required argument: '%s'",
                         signature->function, signature->names[i]);
            return false;
        }
    }
    return true;
}

bool fb_py_text(PyObject *object, const char *what, fb_str *text) {
    if (PyUnicode_Check(object)) {
        Py_ssize_t len;
        text->ptr = PyUnicode_AsUTF8AndSize(object, &len);
        text->len = (size_t)len;
        return text->ptr != NULL;
    }
    if (PyBytes_Check(object)) {
        *text = (fb_str){PyBytes_AS_STRING(object), (size_t)PyBytes_GET_SIZE(object)};
        return true;
    }
    PyErr_Format(PyExc_TypeError, "%s must be str or bytes, not %.200s", what,
                 Py_TYPE(object)->tp_name);
    return false;
}

// A timedelta's seconds; -1.0 with an exception.
static double delta_seconds(PyObject *delta) {
    PyObject *seconds = PyObject_CallMethod(delta, "total_seconds", NULL);
    if (!seconds) {
        return -1.0;
    }
    double number = PyFloat_AsDouble(seconds);
    Py_DECREF(seconds);
    return number;
}

bool fb_py_duration(const fb_py_state *state, PyObject *object, const char *what, int64_t none,
                    int64_t *duration_ms) {
    if (!object || object == Py_None) {
        *duration_ms = none;
        return true;
    }
    double seconds = -1.0;
    if (PyBool_Check(object)) {
        PyErr_Format(PyExc_TypeError, "%s must be seconds or a timedelta, not bool", what);
    } else if (PyFloat_Check(object) || PyLong_Check(object)) {
        seconds = PyFloat_AsDouble(object);
    } else if (PyObject_TypeCheck(object, (PyTypeObject *)state->timedelta)) {
        seconds = delta_seconds(object);
    } else {
        PyErr_Format(PyExc_TypeError, "%s must be seconds or a timedelta, not %.200s", what,
                     Py_TYPE(object)->tp_name);
    }
    if (PyErr_Occurred()) {
        return false;
    }
    // What is longer has nothing to do with a cache, and NaN with nothing.
    if (!(seconds > 0.0) || seconds > 100.0 * 366 * 86400) {
        PyErr_Format(PyExc_ValueError, "%s must be more than 0 and at most 100 years, not %R", what,
                     object);
        return false;
    }
    *duration_ms = (int64_t)ceil(seconds * 1000.0 - 1e-6);
    *duration_ms += *duration_ms == 0;
    return true;
}
