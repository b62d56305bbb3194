// native/module.c -- the module forebay._native: its state, its functions, its exceptions.
//
// Multi-phase initialisation with all state in the module, so that every interpreter has its own:
// subinterpreters that share the GIL are supported. Those with a GIL of their own (3.12) are not:
// nothing here is against it, but 3.12.1 and 3.13.0 crash at their end with the json module and
// its like alone, so it could not be shown. A build without the GIL (3.13t) takes it up again when
// it imports this: objects are guarded by it.

#include "native.h"

#include <string.h>

static int error_id(int result) {
    switch (result) {
        case FB_EIO:
        case FB_ECLOSED:
            return FB_PY_Unavailable;
        case FB_ETIMEDOUT:
            return FB_PY_TimeoutError;
        case FB_EOVERLOAD:
            return FB_PY_Overloaded;
        case FB_ESOURCE:
        case FB_EDENIED:
        case FB_ENOSOURCE:
            return FB_PY_SourceError;
        case FB_ENOCLASS:
            return FB_PY_NoSuchClass;
        case FB_ETOOBIG:
            return FB_PY_TooBig;
        case FB_EINVAL:
        case FB_ESYNTAX:
        case FB_ERANGE:
        case FB_ETYPE:
        case FB_ECONFLICT:
            return FB_PY_BadRequest;
        default:
            return FB_PY_Error;
    }
}

PyObject *fb_py_raise(const fb_py_state *state, int result, const fb_error *error) {
    if (result == FB_ENOMEM) {
        return PyErr_NoMemory();
    }
    const char *text = error->text[0] ? error->text : fb_result_text(result);
    // The text may quote what a caller sent.
    PyObject *message = PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
    if (message) {
        PyErr_SetObject(state->errors[error_id(result)], message);
        Py_DECREF(message);
    }
    return NULL;
}

// ------------------------------------------------------------------------------------ the state

static PyObject *import_from(const char *module_name, const char *name) {
    PyObject *module = PyImport_ImportModule(module_name);
    PyObject *found = module ? PyObject_GetAttrString(module, name) : NULL;
    Py_XDECREF(module);
    return found;
}

static bool find_errors(fb_py_state *state) {
    static const char *const names[] = {
#define FB_PY_ERROR_NAME(name) #name,
        FB_PY_ERRORS(FB_PY_ERROR_NAME)
#undef FB_PY_ERROR_NAME
    };
    for (int i = 0; i < FB_PY_ERROR_COUNT; i++) {
        state->errors[i] = import_from("forebay.errors", names[i]);
        if (!state->errors[i]) {
            return false;
        }
    }
    return true;
}

static bool find_helpers(fb_py_state *state) {
    PyObject *encoder = import_from("forebay._forms", "ENCODER");
    PyObject *decoder = import_from("forebay._forms", "DECODER");
    if (encoder && decoder) {
        state->encode = PyObject_GetAttrString(encoder, "encode");
        state->decode = PyObject_GetAttrString(decoder, "decode");
        state->scan = PyObject_GetAttrString(decoder, "scan_once");
    }
    Py_XDECREF(encoder);
    Py_XDECREF(decoder);
    state->zero = PyLong_FromLong(0);
    state->report = import_from("forebay._log", "report");
    state->timedelta = import_from("datetime", "timedelta");
    state->tags = import_from("forebay._forms", "TAGS");
    state->enum_type = import_from("enum", "Enum");
    return state->encode && state->decode && state->scan && state->zero && state->report &&
           state->timedelta && state->tags && state->enum_type;
}

static int start(PyObject *module) {
    fb_py_state *state = PyModule_GetState(module);
    if (!find_errors(state) || !find_helpers(state)) {
        return -1;
    }
    if (!PyType_Check(state->timedelta) || !PyDict_Check(state->tags)) {
        PyErr_SetString(PyExc_TypeError, "forebay is not installed whole");
        return -1;
    }
    PyObject *type = fb_py_client_type();
    if (!type || PyModule_AddObject(module, "Client", type) < 0) {
        Py_XDECREF(type);
        return -1;
    }
    return 0;
}

static int traverse(PyObject *module, visitproc visit, void *arg) {
    fb_py_state *state = PyModule_GetState(module);
    if (!state) {
        return 0;
    }
    for (int i = 0; i < FB_PY_ERROR_COUNT; i++) {
        Py_VISIT(state->errors[i]);
    }
    Py_VISIT(state->report);
    Py_VISIT(state->encode);
    Py_VISIT(state->decode);
    Py_VISIT(state->scan);
    Py_VISIT(state->zero);
    Py_VISIT(state->timedelta);
    Py_VISIT(state->tags);
    Py_VISIT(state->enum_type);
    return 0;
}

static int clear(PyObject *module) {
    fb_py_state *state = PyModule_GetState(module);
    if (!state) {
        return 0;
    }
    for (int i = 0; i < FB_PY_ERROR_COUNT; i++) {
        Py_CLEAR(state->errors[i]);
    }
    Py_CLEAR(state->report);
    Py_CLEAR(state->encode);
    Py_CLEAR(state->decode);
    Py_CLEAR(state->scan);
    Py_CLEAR(state->zero);
    Py_CLEAR(state->timedelta);
    Py_CLEAR(state->tags);
    Py_CLEAR(state->enum_type);
    return 0;
}

static void release(void *module) {
    clear(module);
}

// ----------------------------------------------------------------------------------- the module

static PyMethodDef functions[] = {
    {"pack", fb_py_pack, METH_O,
     "pack($module, value, /)\n--\n\nThe bytes that a cached function's result is kept as."},
    {"unpack", (PyCFunction)(void (*)(void))fb_py_unpack, METH_FASTCALL,
     "unpack($module, packed, default, /)\n--\n\nThe result again; default: these bytes are none."},
    {"make_key", (PyCFunction)(void (*)(void))fb_py_make_key, METH_FASTCALL,
     "make_key($module, prefix, function, names, values, /)\n--\n\n"
     "The key of a call: prefix and values."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)start},
#if PY_VERSION_HEX >= 0x030c0000
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_SUPPORTED},
#endif
    {0, NULL},
};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "forebay._native",
    .m_doc = "forebay's C client. Use the package forebay.",
    .m_size = sizeof(fb_py_state),
    .m_methods = functions,
    .m_slots = slots,
    .m_traverse = traverse,
    .m_clear = clear,
    .m_free = release,
};

// Before 3.9 PyMODINIT_FUNC does not say that it is to be found.
__attribute__((visibility("default"))) PyMODINIT_FUNC PyInit__native(void);
PyMODINIT_FUNC PyInit__native(void) {
    return PyModuleDef_Init(&definition);
}
