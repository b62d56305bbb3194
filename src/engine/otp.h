// engine/otp.h -- the part of one-time codes that has no engine: what is drawn, and what is stored.

#ifndef FB_ENGINE_OTP_H
#define FB_ENGINE_OTP_H

#include <forebay/mail.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    FB_OTP_CODE_SIZE = 7,        // six digits and NUL
    FB_OTP_TOKEN_SIZE = 44,      // 43 characters of base64url, and NUL
    FB_OTP_HASH_SIZE = 65,       // 64 digits and NUL
    FB_OTP_RECORD_SIZE = 352,
    FB_OTP_SECRET_MAX = 128      // bytes of what is shown to be right
};

// Each number from 000000 to 999999 is as likely as any. FB_EIO: no random numbers.
FB_CHECK_RESULT int fb_otp_draw_code(char *code);
FB_CHECK_RESULT int fb_otp_draw_token(char *token);
// HMAC-SHA-256 of purpose, account (in lower case) and secret, told apart. FB_ENOMEM.
FB_CHECK_RESULT int fb_otp_hash(fb_str key, const char *purpose, fb_str account, fb_str secret,
                                char *hash);

// What stands in the cache: how often it was tried, the hash of a code ("" of a link), the account.
typedef struct fb_otp_record {
    uint32_t tries;
    char hash[FB_OTP_HASH_SIZE];
    fb_str account;
} fb_otp_record;
// Returns the text, FB_OTP_RECORD_SIZE bytes.
fb_str fb_otp_record_write(const fb_otp_record *record, char *text);
// `account` points into the text. FB_ESYNTAX: somebody else wrote it.
FB_CHECK_RESULT int fb_otp_record_read(fb_str text, fb_otp_record *record);

#ifdef __cplusplus
}
#endif

#endif
