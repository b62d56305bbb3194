// What happens when an assertion fails.
//
// The hook must not return; if it does, the process ends here all the same, because the caller's
// state is known to be wrong.

#include "base/check.h"

#include "base/hooks.h"

#include <stdlib.h>

void fb_panic(const char *file, int line, const char *expression) {
    fb_hooks_current.panic(fb_hooks_current.panic_arg, file, line, expression);
    abort();
}
