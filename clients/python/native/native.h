// native/native.h -- what the files of the extension module forebay._native share.
//
// The module has no global of its own: everything it holds is in fb_py_state, one for each
// interpreter that imports it. All calls need the GIL unless they say otherwise.

#ifndef FB_PY_NATIVE_H
#define FB_PY_NATIVE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <forebay/client.h>

// The exceptions of forebay.errors, by the name of their class.
#define FB_PY_ERRORS(X) \
    X(Error)            \
    X(Unavailable)      \
    X(TimeoutError)     \
    X(Overloaded)       \
    X(SourceError)      \
    X(NoSuchClass)      \
    X(TooBig)           \
    X(BadRequest)

typedef enum fb_py_error {
#define FB_PY_ERROR_ID(name) FB_PY_##name,
    FB_PY_ERRORS(FB_PY_ERROR_ID)
#undef FB_PY_ERROR_ID
        FB_PY_ERROR_COUNT
} fb_py_error;

typedef struct fb_py_state {
    PyObject *errors[FB_PY_ERROR_COUNT];
    PyObject *report;     // forebay._log.report(event, text)
    PyObject *encode;     // of a json.JSONEncoder
    PyObject *decode;     // of a json.JSONDecoder
    PyObject *scan;       // the same one's scan_once
    PyObject *zero;       // int
    PyObject *timedelta;  // the type
    PyObject *tags;       // forebay._forms.TAGS: {type: tag}
    PyObject *enum_type;  // enum.Enum
} fb_py_state;

// ------------------------------------------------------------------------------------ arguments

// What a function takes: `names` ends with NULL; the first `required` must be given, the first
// `positional` may be given without their names.
typedef struct fb_py_signature {
    const char *function;
    const char *const *names;
    Py_ssize_t required, positional;
} fb_py_signature;

// Sorts the arguments of a METH_FASTCALL | METH_KEYWORDS call into `out`, borrowed; NULL where one
// was not given. False with a TypeError.
bool fb_py_arguments(const fb_py_signature *signature, PyObject *const *args, Py_ssize_t count,
                     PyObject *names, PyObject **out);

// The bytes of a str (as UTF-8) or of bytes, lent by `object`. `what` names it in the TypeError.
bool fb_py_text(PyObject *object, const char *what, fb_str *text);

// Seconds as int or float, or a timedelta, in whole milliseconds, at least 1. None or NULL: `none`.
bool fb_py_duration(const fb_py_state *state, PyObject *object, const char *what, int64_t none,
                    int64_t *duration_ms);

// --------------------------------------------------------------------------------------- values

// Bytes that are sent, and the object that holds them.
typedef struct fb_py_bytes {
    fb_str data;
    PyObject *owner;
} fb_py_bytes;

// bytes, bytearray and memoryview as they are, everything else as JSON.
bool fb_py_encode(const fb_py_state *state, PyObject *value, fb_py_bytes *bytes);
PyObject *fb_py_decode_json(const fb_py_state *state, fb_str text);

// How the bytes of a key become an object.
typedef enum fb_py_form {
    FB_PY_VALUE,  // what JSON says; bytes where they are no JSON
    FB_PY_BYTES,  // bytes, whatever they are
    FB_PY_RESULT  // what a cached function returned: see values.c; NULL without an exception: none
} fb_py_form;
PyObject *fb_py_decode(const fb_py_state *state, fb_str data, fb_kind kind, fb_py_form form);

// The module's functions of these.
PyObject *fb_py_pack(PyObject *module, PyObject *value);
PyObject *fb_py_unpack(PyObject *module, PyObject *const *args, Py_ssize_t count);

// ----------------------------------------------------------------------------------------- keys

// make_key(prefix, function, names, values): see keys.c.
PyObject *fb_py_make_key(PyObject *module, PyObject *const *args, Py_ssize_t count);

// --------------------------------------------------------------------------------------- client

// A new reference to the type; NULL with an exception.
PyObject *fb_py_client_type(void);

// Raises what a result < 0 stands for, with the error's text. Returns NULL.
PyObject *fb_py_raise(const fb_py_state *state, int result, const fb_error *error);

#endif
