// Names and texts of results, from the one table in the public header.

#include <forebay/base.h>

const char *fb_result_name(int result) {
    switch (result) {
#define RESULT_NAME(name, number, text) \
    case number:                        \
        return #name;
        FB_RESULTS(RESULT_NAME)
#undef RESULT_NAME
        default:
            return "FB_?";
    }
}

const char *fb_result_text(int result) {
    switch (result) {
#define RESULT_TEXT(name, number, text) \
    case number:                        \
        return text;
        FB_RESULTS(RESULT_TEXT)
#undef RESULT_TEXT
        default:
            return "unknown result";
    }
}
