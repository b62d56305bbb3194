// Drawing and hashing. A number of 32 bits taken modulo a million would favour the first 967,296
// codes by one part in 4,294; numbers above the last whole million are drawn again instead.

#include "engine/otp.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/str.h"

#define CODES UINT32_C(1000000)
#define WHOLE (UINT32_MAX - UINT32_MAX % CODES)

enum { TOKEN_BYTES = 32, HASH_BYTES = 32, TRIES_DIGITS = 10 };

_Static_assert(FB_OTP_RECORD_SIZE >=
                   TRIES_DIGITS + 1 + FB_OTP_HASH_SIZE + 1 + FB_MAIL_ADDRESS_MAX + 1,
               "a record has room for all that it may hold");

int fb_otp_draw_code(char *code) {
    uint32_t number;
    do {
        if (RAND_priv_bytes((unsigned char *)&number, sizeof number) != 1) {
            return FB_EIO;
        }
    } while (number >= WHOLE);
    (void)snprintf(code, FB_OTP_CODE_SIZE, "%06u", number % CODES);
    OPENSSL_cleanse(&number, sizeof number);
    return FB_OK;
}

int fb_otp_draw_token(char *token) {
    unsigned char bytes[TOKEN_BYTES], text[4 * ((TOKEN_BYTES + 2) / 3) + 1];
    if (RAND_priv_bytes(bytes, sizeof bytes) != 1) {
        return FB_EIO;
    }
    (void)EVP_EncodeBlock(text, bytes, sizeof bytes);
    for (size_t i = 0; i < FB_OTP_TOKEN_SIZE - 1; i++) {
        token[i] = text[i] == '+' ? '-' : text[i] == '/' ? '_' : (char)text[i];
    }
    token[FB_OTP_TOKEN_SIZE - 1] = '\0';
    OPENSSL_cleanse(bytes, sizeof bytes);
    OPENSSL_cleanse(text, sizeof text);
    return FB_OK;
}

static char lower(char byte) {
    return byte >= 'A' && byte <= 'Z' ? (char)(byte - 'A' + 'a') : byte;
}

// The parts end in NUL, which none of them has in it: no two questions are the same bytes.
int fb_otp_hash(fb_str key, const char *purpose, fb_str account, fb_str secret, char *hash) {
    char text[16 + FB_MAIL_ADDRESS_MAX + 1 + FB_OTP_SECRET_MAX];
    unsigned char bytes[HASH_BYTES];
    size_t len = strlen(purpose) + 1;
    FB_ASSERT(len <= 16 && account.len <= FB_MAIL_ADDRESS_MAX && secret.len <= FB_OTP_SECRET_MAX);
    memcpy(text, purpose, len);
    for (size_t i = 0; i < account.len; i++) {
        text[len++] = lower(account.ptr[i]);
    }
    text[len++] = '\0';
    if (secret.len > 0) {
        memcpy(text + len, secret.ptr, secret.len);
    }
    len += secret.len;
    bool done = HMAC(EVP_sha256(), key.ptr, (int)key.len, (const unsigned char *)text, len, bytes,
                     NULL) != NULL;
    OPENSSL_cleanse(text, sizeof text);
    for (size_t i = 0; done && i < sizeof bytes; i++) {
        (void)snprintf(hash + 2 * i, 3, "%02x", bytes[i]);
    }
    return done ? FB_OK : FB_ENOMEM;
}

fb_str fb_otp_record_write(const fb_otp_record *record, char *text) {
    int len = snprintf(text, FB_OTP_RECORD_SIZE, "%u %s %.*s", record->tries, record->hash,
                       FB_STR_ARG(record->account));
    FB_ASSERT(len > 0 && len < FB_OTP_RECORD_SIZE);
    return fb_str_make(text, (size_t)len);
}

int fb_otp_record_read(fb_str text, fb_otp_record *record) {
    int64_t tries = 0;
    size_t end = fb_str_find(text, ' ');
    if (end == text.len || fb_str_int(fb_str_make(text.ptr, end), &tries) < 0 || tries < 0 ||
        tries > UINT32_MAX) {
        return FB_ESYNTAX;
    }
    fb_str rest = {text.ptr + end + 1, text.len - end - 1};
    size_t len = fb_str_find(rest, ' ');
    if (len == rest.len || (len != 0 && len != FB_OTP_HASH_SIZE - 1) ||
        rest.len - len - 1 > FB_MAIL_ADDRESS_MAX) {
        return FB_ESYNTAX;
    }
    record->tries = (uint32_t)tries;
    memcpy(record->hash, rest.ptr, len);
    record->hash[len] = '\0';
    record->account = fb_str_make(rest.ptr + len + 1, rest.len - len - 1);
    return FB_OK;
}
