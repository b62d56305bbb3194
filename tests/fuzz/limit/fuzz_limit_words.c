// Any bytes as a key that may be an address, against the C library's reader of addresses, and as the
// noun of a message.

#include "limit/words.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

static void require(bool holds) {
    if (!holds) {
        abort();
    }
}

// What the key should be, by inet_pton() and inet_ntop().
static fb_str expected_of(fb_str key, uint32_t bits, char *text) {
    static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    struct in6_addr parsed, written;
    unsigned char address[16];
    char bare[64] = "";
    fb_str inside = key;

    if (key.len >= 2 && key.ptr[0] == '[' && key.ptr[key.len - 1] == ']') {
        inside = fb_str_make(key.ptr + 1, key.len - 2);
    }
    if (inside.len == 0 || inside.len >= sizeof(bare) ||
        memchr(inside.ptr, '\0', inside.len) != NULL) {
        return key;
    }
    memcpy(bare, inside.ptr, inside.len);
    if (inet_pton(AF_INET6, bare, &parsed) != 1) {
        return key;
    }
    memcpy(address, &parsed, sizeof(address));
    if (memcmp(address, mapped, sizeof(mapped)) == 0) {
        require(inet_ntop(AF_INET, address + 12, text, 64) != NULL);
        return fb_str_of(text);
    }
    for (uint32_t i = bits; i < 128; i++) {
        address[i / 8] &= (unsigned char)~(0x80u >> (i % 8));
    }
    // inet_ntop() writes some addresses with dots, so what is compared is what it reads.
    char network[64];
    fb_str found = fb_limit_address_key(key, bits, network);
    size_t len = fb_str_find(found, '/');
    require(len < found.len && len < sizeof(bare));
    memset(bare, 0, sizeof(bare));
    memcpy(bare, found.ptr, len);
    require(inet_pton(AF_INET6, bare, &written) == 1 &&
            memcmp(&written, address, sizeof(address)) == 0);
    memcpy(text, found.ptr, found.len);
    return fb_str_make(text, found.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char text[64], expected[64], again[64], message[FB_LIMIT_MESSAGE_SIZE], noun[200] = "";

    if (size == 0) {
        return 0;
    }
    uint32_t bits = 1 + data[0] % 128u;
    fb_str key = fb_str_make((const char *)data + 1, size - 1);
    fb_str found = fb_limit_address_key(key, bits, text);
    require(fb_str_equal(found, expected_of(key, bits, expected)));
    // A key that is one already stays it.
    require(fb_str_equal(fb_limit_address_key(found, bits, again), found));

    memcpy(noun, key.ptr, key.len < sizeof(noun) - 1 ? key.len : sizeof(noun) - 1);
    fb_verdict verdict = {.allowed = data[0] % 2 != 0,
                          .impossible = data[0] % 3 == 0,
                          .cost = 1,
                          .remaining = data[0] % 4,
                          .message = noun};
    memcpy(&verdict.retry_us, noun, sizeof(verdict.retry_us));
    memcpy(&verdict.window_us, noun + 8, sizeof(verdict.window_us));
    require(strlen(fb_verdict_message(&verdict, message)) < FB_LIMIT_MESSAGE_SIZE);
    return 0;
}
