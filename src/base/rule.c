// One rule at most is out at a time: a test wants to see what each is needed for by itself. The
// name is compared at every use, which only a build for such tests pays for.

#include "base/rule.h"

#ifdef FB_MUTATIONS

#include <string.h>

static const char *missing;

bool fb_rule_holds(const char *name) {
    return missing == NULL || strcmp(missing, name) != 0;
}

void fb_rule_without(const char *name) {
    missing = name;
}

#endif
