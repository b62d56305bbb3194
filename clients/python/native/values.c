// native/values.c -- Python's objects as the bytes that are kept, and back.
//
// Bytes are kept as they are, everything else as compact JSON in UTF-8. The way back goes by what
// forebay says of the bytes, "JSON" or not, so that a value of another client's comes out well too.
// Texts without an escape, small integers, true, false and null are read here; for the rest the
// scanner of the json module is called directly, which saves the two regular expressions that
// json.loads() runs around it.
//
// What a cached function returned must come back as it was, also where it returned bytes that look
// like JSON: so its bytes are kept behind a byte 255, which can begin no UTF-8.

#include "native.h"

#include "base/json.h"

#include <string.h>

static const char RESULT_IS_BYTES = (char)0xff;

// ------------------------------------------------------------------------------------------- in

static bool encode_json(const fb_py_state *state, PyObject *value, fb_py_bytes *bytes) {
    bytes->owner = PyObject_CallFunctionObjArgs(state->encode, value, NULL);
    if (!bytes->owner) {
        return false;
    }
    if (!fb_py_text(bytes->owner, "JSON", &bytes->data)) {
        Py_CLEAR(bytes->owner);
        return false;
    }
    if (!fb_json_valid(bytes->data)) {
        PyErr_Format(PyExc_ValueError,
                     "nested deeper than the %d levels that forebay takes for JSON",
                     (int)FB_JSON_DEPTH_MAX);
        Py_CLEAR(bytes->owner);
        return false;
    }
    return true;
}

static bool is_bytes(PyObject *value) {
    return PyBytes_Check(value) || PyByteArray_Check(value) || PyMemoryView_Check(value);
}

bool fb_py_encode(const fb_py_state *state, PyObject *value, fb_py_bytes *bytes) {
    if (!is_bytes(value)) {
        return encode_json(state, value, bytes);
    }
    // A copy of what may change: it is sent while other threads run.
    bytes->owner = PyBytes_FromObject(value);
    if (!bytes->owner) {
        return false;
    }
    bytes->data = (fb_str){PyBytes_AS_STRING(bytes->owner), (size_t)PyBytes_GET_SIZE(bytes->owner)};
    return true;
}

PyObject *fb_py_pack(PyObject *module, PyObject *value) {
    fb_py_bytes bytes;
    if (!fb_py_encode(PyModule_GetState(module), value, &bytes)) {
        return NULL;
    }
    size_t mark = is_bytes(value) ? 1 : 0;
    PyObject *packed = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(bytes.data.len + mark));
    if (packed) {
        char *at = PyBytes_AS_STRING(packed);
        if (mark) {
            at[0] = RESULT_IS_BYTES;
        }
        memcpy(at + mark, bytes.data.ptr, bytes.data.len);
    }
    Py_DECREF(bytes.owner);
    return packed;
}

// ------------------------------------------------------------------------------------------ out

// A whole number of at most 18 digits, which fits and needs no care. -1, -0 and 007 are rare enough
// for the scanner.
static bool read_small(fb_str text, long long *number) {
    if (text.len > 18 || (text.ptr[0] == '0' && text.len > 1)) {
        return false;
    }
    *number = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned char)text.ptr[i] - (unsigned)'0';
        if (digit > 9) {
            return false;
        }
        *number = *number * 10 + digit;
    }
    return true;
}

static bool equals(fb_str text, const char *word, size_t len) {
    return text.len == len && memcmp(text.ptr, word, len) == 0;
}

// What can be told by a look: a new reference; NULL without an exception: ask the scanner.
static PyObject *decode_plain(fb_str text) {
    long long number;
    switch (text.ptr[0]) {
        case '"':
            if (text.len < 2 || text.ptr[text.len - 1] != '"' ||
                memchr(text.ptr + 1, '\\', text.len - 2)) {
                return NULL;
            }
            return PyUnicode_DecodeUTF8(text.ptr + 1, (Py_ssize_t)text.len - 2, NULL);
        case 't':
            return equals(text, "true", 4) ? Py_INCREF(Py_True), Py_True : NULL;
        case 'f':
            return equals(text, "false", 5) ? Py_INCREF(Py_False), Py_False : NULL;
        case 'n':
            return equals(text, "null", 4) ? Py_INCREF(Py_None), Py_None : NULL;
        case '{':
        case '[':
            return NULL;
        default:
            return read_small(text, &number) ? PyLong_FromLongLong(number) : NULL;
    }
}

// The scanner wants the first byte of the value, and says where it ended. With white space around
// it, or where it is no JSON after all, decode() knows what to do or to say.
static PyObject *decode_scanned(const fb_py_state *state, PyObject *text) {
    PyObject *pair = PyObject_CallFunctionObjArgs(state->scan, text, state->zero, NULL);
    if (pair && PyTuple_Check(pair) && PyTuple_GET_SIZE(pair) == 2 &&
        PyLong_AsSsize_t(PyTuple_GET_ITEM(pair, 1)) == PyUnicode_GET_LENGTH(text)) {
        PyObject *value = PyTuple_GET_ITEM(pair, 0);
        Py_INCREF(value);
        Py_DECREF(pair);
        return value;
    }
    Py_XDECREF(pair);
    if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_StopIteration)) {
        return NULL;
    }
    PyErr_Clear();
    return PyObject_CallFunctionObjArgs(state->decode, text, NULL);
}

PyObject *fb_py_decode_json(const fb_py_state *state, fb_str text) {
    PyObject *value = text.len ? decode_plain(text) : NULL;
    if (value || PyErr_Occurred()) {
        return value;
    }
    PyObject *string = PyUnicode_DecodeUTF8(text.ptr, (Py_ssize_t)text.len, NULL);
    if (string) {
        value = decode_scanned(state, string);
        Py_DECREF(string);
    }
    return value;
}

PyObject *fb_py_decode(const fb_py_state *state, fb_str data, fb_kind kind, fb_py_form form) {
    if (kind == FB_KIND_JSON && form != FB_PY_BYTES) {
        return fb_py_decode_json(state, data);
    }
    if (form == FB_PY_RESULT) {
        if (data.len == 0 || data.ptr[0] != RESULT_IS_BYTES) {
            return NULL;
        }
        data = (fb_str){data.ptr + 1, data.len - 1};
    }
    return PyBytes_FromStringAndSize(data.ptr, (Py_ssize_t)data.len);
}

PyObject *fb_py_unpack(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    if (count != 2 || !PyBytes_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "unpack() takes bytes and a default");
        return NULL;
    }
    fb_str data = {PyBytes_AS_STRING(args[0]), (size_t)PyBytes_GET_SIZE(args[0])};
    fb_kind kind = fb_json_valid(data) ? FB_KIND_JSON : FB_KIND_BYTES;
    PyObject *value = fb_py_decode(PyModule_GetState(module), data, kind, FB_PY_RESULT);
    if (!value && !PyErr_Occurred()) {
        Py_INCREF(args[1]);
        return args[1];
    }
    return value;
}
