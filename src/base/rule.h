// base/rule.h -- rules that tests can take out, one at a time, to show that each is needed.
//
// `if (FB_RULE(doom) && load->doomed)`: always true in a normal build, and no code at all. With
// -Dmutations=true the rule named by fb_rule_without() is false.

#ifndef FB_BASE_RULE_H
#define FB_BASE_RULE_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifdef FB_MUTATIONS
#define FB_RULE(name) fb_rule_holds(#name)
bool fb_rule_holds(const char *name);
// Takes one rule out for the process; NULL: none. `name` is kept, not copied. Call before any
// thread starts.
void fb_rule_without(const char *name);
#else
#define FB_RULE(name) true
#endif

#ifdef __cplusplus
}
#endif

#endif
