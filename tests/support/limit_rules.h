// limit_rules.h -- rules of limits for rigs that test doors: their windows are long, so that no
// test depends on how fast it runs.

#ifndef FB_TESTS_LIMIT_RULES_H
#define FB_TESTS_LIMIT_RULES_H

#define LIMIT_RULES                                                                            \
    "limits:\n"                                                                                \
    "  hourly: {limit: 3, window: 1h, message: 'call|calls', tiers: {premium: {limit: 5}},\n"  \
    "           exempt: ['staff:*'], deny: ['banned:*']}\n"                                    \
    "  daily: {limit: 4, window: 1d, message: 'call|calls'}\n"                                 \
    "  watched: {limit: 1, window: 1h, shadow: true}\n"                                        \
    "  jobs: {algorithm: slots, limit: 2, window: 1h, message: 'job|jobs'}\n"                  \
    "  signing_in: {limit: 2, window: 1h, per: address}\n"                                     \
    "  connecting: {limit: 2, window: 1h, per: address}\n"

#endif
