// native/keys.c -- the key under which a call of a cached function is kept: the function's name and
// its arguments in one canonical text, so that equal arguments give equal keys in every process.
//
// The text is that of JSON: no white space, names of objects sorted, a tuple like a list. Types
// that JSON does not have, and whose str() says all, stand behind a tag: date"2026-11-20". No JSON
// has a letter before a quotation mark, so no two arguments meet in one text. A key says in the
// clear what it is for, as long as it is short; the rest of a longer one becomes a digest
// (forebay._keys).
//
// What cannot be part of a key is a TypeError that names the argument.

#include "native.h"

#include <string.h>

typedef struct fb_py_writer {
    const fb_py_state *state;
    char *bytes;  // `first` until that is full
    size_t len, room;
    char first[512];
} fb_py_writer;

static bool grow(fb_py_writer *writer, size_t more) {
    size_t room = writer->room * 2;
    while (room - writer->len < more) {
        room *= 2;
    }
    char *bytes = PyMem_Realloc(writer->bytes == writer->first ? NULL : writer->bytes, room);
    if (!bytes) {
        PyErr_NoMemory();
        return false;
    }
    if (writer->bytes == writer->first) {
        memcpy(bytes, writer->first, writer->len);
    }
    writer->bytes = bytes;
    writer->room = room;
    return true;
}

static bool put(fb_py_writer *writer, const char *bytes, size_t len) {
    if (writer->room - writer->len < len && !grow(writer, len)) {
        return false;
    }
    memcpy(writer->bytes + writer->len, bytes, len);
    writer->len += len;
    return true;
}

static bool put_text(fb_py_writer *writer, PyObject *string) {
    Py_ssize_t len;
    const char *text = PyUnicode_AsUTF8AndSize(string, &len);
    return text && put(writer, text, (size_t)len);
}

// In quotation marks; what JSON escapes, as short as JSON allows. Half a surrogate pair is a
// UnicodeEncodeError.
static bool put_string(fb_py_writer *writer, PyObject *string) {
    static const char hex[] = "0123456789abcdef";
    Py_ssize_t len;
    const char *text = PyUnicode_AsUTF8AndSize(string, &len);
    if (!text || !put(writer, "\"", 1)) {
        return false;
    }
    const char *end = text + len, *plain = text;
    for (; text < end; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte >= 0x20 && byte != '"' && byte != '\\') {
            continue;
        }
        char escape[6] = {'\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15]};
        bool is_short = byte >= 0x20;
        if (!put(writer, plain, (size_t)(text - plain)) ||
            !put(writer, is_short ? (char[]){'\\', *text} : escape, is_short ? 2 : 6)) {
            return false;
        }
        plain = text + 1;
    }
    return put(writer, plain, (size_t)(end - plain)) && put(writer, "\"", 1);
}

static bool put_made(fb_py_writer *writer, PyObject *text, bool quoted) {
    bool good = text && (quoted ? put_string(writer, text) : put_text(writer, text));
    Py_XDECREF(text);
    return good;
}

static bool put_integer(fb_py_writer *writer, PyObject *number) {
    int overflow;
    long long small = PyLong_AsLongLongAndOverflow(number, &overflow);
    if (overflow) {
        return put_made(writer, PyLong_Type.tp_repr(number), false);
    }
    char text[24];
    int len = snprintf(text, sizeof text, "%lld", small);
    return put(writer, text, (size_t)len);
}

static bool put_value(fb_py_writer *writer, PyObject *value);

static bool put_sequence(fb_py_writer *writer, PyObject *sequence) {
    bool good = put(writer, "[", 1);
    for (Py_ssize_t i = 0; good && i < PySequence_Fast_GET_SIZE(sequence); i++) {
        PyObject *item = PySequence_Fast_GET_ITEM(sequence, i);
        Py_INCREF(item);
        good = (i == 0 || put(writer, ",", 1)) && put_value(writer, item);
        Py_DECREF(item);
    }
    return good && put(writer, "]", 1);
}

static bool put_members(fb_py_writer *writer, PyObject *names, PyObject *dict) {
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(names); i++) {
        PyObject *name = PyList_GET_ITEM(names, i);
        PyObject *value = PyDict_GetItemWithError(dict, name);
        Py_XINCREF(value);
        bool good = value && (i == 0 || put(writer, ",", 1)) && put_string(writer, name) &&
                    put(writer, ":", 1) && put_value(writer, value);
        Py_XDECREF(value);
        if (!good) {
            return false;
        }
    }
    return true;
}

static bool put_dict(fb_py_writer *writer, PyObject *dict) {
    PyObject *names = PyDict_Keys(dict);
    bool good = names != NULL;
    for (Py_ssize_t i = 0; good && i < PyList_GET_SIZE(names); i++) {
        PyObject *name = PyList_GET_ITEM(names, i);
        if (!PyUnicode_Check(name)) {
            PyErr_Format(PyExc_TypeError, "a dict with a key of type %.200s",
                         Py_TYPE(name)->tp_name);
            good = false;
        }
    }
    good = good && PyList_Sort(names) == 0 && put(writer, "{", 1) &&
           put_members(writer, names, dict) && put(writer, "}", 1);
    Py_XDECREF(names);
    return good;
}

// enum.Color"RED": the name says more than the value. Some flags together may have no name, and
// none of them has none: enum.Access3.
static bool put_enum(fb_py_writer *writer, PyObject *member) {
    PyObject *type = PyObject_GetAttrString((PyObject *)Py_TYPE(member), "__qualname__");
    if (!put(writer, "enum.", 5) || !put_made(writer, type, false)) {
        return false;
    }
    PyObject *said = PyObject_GetAttrString(member, "name");
    if (said == Py_None) {
        Py_DECREF(said);
        said = PyObject_GetAttrString(member, "value");
    }
    bool good = said && put_value(writer, said);
    Py_XDECREF(said);
    return good;
}

// Bytes, and the types with a tag.
static bool put_tagged(fb_py_writer *writer, PyObject *value) {
    PyObject *tag = PyDict_GetItemWithError(writer->state->tags, (PyObject *)Py_TYPE(value));
    if (tag) {
        return put_text(writer, tag) && put_made(writer, PyObject_Str(value), true);
    }
    if (PyErr_Occurred()) {
        return false;
    }
    if (PyBytes_CheckExact(value)) {
        return put(writer, "bytes", 5) &&
               put_made(writer, PyObject_CallMethod(value, "hex", NULL), true);
    }
    PyErr_Format(PyExc_TypeError, "an object of type %.200s", Py_TYPE(value)->tp_name);
    return false;
}

static bool put_nested(fb_py_writer *writer, PyObject *value) {
    if (Py_EnterRecursiveCall(" while a key is made of arguments")) {
        return false;
    }
    bool good = PyDict_Check(value) ? put_dict(writer, value) : put_sequence(writer, value);
    Py_LeaveRecursiveCall();
    return good;
}

static bool put_other(fb_py_writer *writer, PyObject *value) {
    int is_enum = PyObject_IsInstance(value, writer->state->enum_type);
    if (is_enum) {
        return is_enum > 0 && put_enum(writer, value);
    }
    if (PyUnicode_Check(value)) {
        return put_string(writer, value);
    }
    if (PyLong_Check(value)) {
        return put_integer(writer, value);
    }
    if (PyFloat_Check(value)) {
        return put_made(writer, PyFloat_Type.tp_repr(value), false);
    }
    if (PyDict_Check(value) || PyList_Check(value) || PyTuple_Check(value)) {
        return put_nested(writer, value);
    }
    return put_tagged(writer, value);
}

static bool put_value(fb_py_writer *writer, PyObject *value) {
    if (PyUnicode_CheckExact(value)) {
        return put_string(writer, value);
    }
    if (PyLong_CheckExact(value)) {
        return put_integer(writer, value);
    }
    if (value == Py_None) {
        return put(writer, "null", 4);
    }
    if (PyBool_Check(value)) {
        return value == Py_True ? put(writer, "true", 4) : put(writer, "false", 5);
    }
    return put_other(writer, value);
}

// "price(): the argument 'when' cannot be part of a key: an object of type socket" and a way out.
static void blame(PyObject *function, PyObject *name) {
    PyObject *type, *error, *trace;
    PyErr_Fetch(&type, &error, &trace);
    if (PyErr_GivenExceptionMatches(type, PyExc_TypeError) ||
        PyErr_GivenExceptionMatches(type, PyExc_UnicodeError)) {
        PyErr_Format(PyExc_TypeError,
                     "%U(): the argument '%U' cannot be part of a key: %S (say how with key=, or "
                     "leave self out with method=True)",
                     function, name, error ? error : Py_None);
        Py_XDECREF(type);
        Py_XDECREF(error);
        Py_XDECREF(trace);
    } else {
        PyErr_Restore(type, error, trace);
    }
}

static bool put_arguments(fb_py_writer *writer, PyObject *function, PyObject *names,
                          PyObject *values) {
    bool good = put(writer, "[", 1);
    for (Py_ssize_t i = 0; good && i < PyTuple_GET_SIZE(values); i++) {
        good = i == 0 || put(writer, ",", 1);
        if (good && !put_value(writer, PyTuple_GET_ITEM(values, i))) {
            blame(function, PyTuple_GET_ITEM(names, i));
            good = false;
        }
    }
    return good && put(writer, "]", 1);
}

static bool are_arguments(PyObject *const *args, Py_ssize_t count) {
    return count == 4 && PyUnicode_Check(args[0]) && PyUnicode_Check(args[1]) &&
           PyTuple_Check(args[2]) && PyTuple_Check(args[3]) &&
           PyTuple_GET_SIZE(args[2]) >= PyTuple_GET_SIZE(args[3]);
}

// make_key(prefix, function, names, values): the prefix and the values as a list. The function's
// name and a name for each value are for the error.
PyObject *fb_py_make_key(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    if (!are_arguments(args, count)) {
        PyErr_SetString(PyExc_TypeError, "make_key() takes two str and two tuples");
        return NULL;
    }
    fb_py_writer writer;
    writer.state = PyModule_GetState(module);
    writer.len = 0;
    writer.room = sizeof writer.first;
    writer.bytes = writer.first;
    PyObject *key = NULL;
    if (put_text(&writer, args[0]) && put_arguments(&writer, args[1], args[2], args[3])) {
        key = PyUnicode_DecodeUTF8(writer.bytes, (Py_ssize_t)writer.len, NULL);
    }
    if (writer.bytes != writer.first) {
        PyMem_Free(writer.bytes);
    }
    return key;
}
