// limit/words.h -- verdicts in words for people (fb_verdict_message() of forebay/limit.h), and keys
// that are addresses.

#ifndef FB_LIMIT_WORDS_H
#define FB_LIMIT_WORDS_H

#include <forebay/limit.h>

#ifdef __cplusplus
extern "C" {
#endif

// "30 seconds", "2 minutes", "1 hour", "3 days": rounded up, at least "1 second". `text` of 32 bytes.
const char *fb_limit_wait_text(int64_t wait_us, char *text);
// An IPv6 address as its network of prefix_len bits ("2001:db8:1:2::/64"), an IPv4 address in IPv6
// ("::ffff:192.0.2.1") or not as itself; with or without brackets. Anything else is left as it is.
// Returns the key: `key` itself, or `text`, of 64 bytes.
fb_str fb_limit_address_key(fb_str key, uint32_t prefix_len, char *text);

#ifdef __cplusplus
}
#endif

#endif
