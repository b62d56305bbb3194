// An embedder may have called setlocale(): numbers are then read with a decimal comma and letters
// are folded by another table. Parsing must not depend on that, so it names its locale in each
// call.

#include "base/locale.h"

#include "base/log.h"

#include <pthread.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static locale_t chosen;

static void choose(void) {
    chosen = newlocale(LC_ALL_MASK, "C.UTF-8", (locale_t)0);
    if (chosen == (locale_t)0) {
        fb_log(FB_LOG_WARN, "locale_missing",
               "name=C.UTF-8 effect=\"only ASCII letters are made small\"");
        chosen = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    }
}

locale_t fb_locale_get(void) {
    (void)pthread_once(&once, choose);
    return chosen;
}
