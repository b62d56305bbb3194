// client/address.h -- where a server is, as people write it. No I/O.
//
// "forebay://user:password@host:port", "redis://…" for the same, "host:port", "host",
// "unix:/path", "unix://user:password@/path". With TLS "forebays://" or "rediss://", and behind the place, where the system's
// authorities are not meant or the server wants to see a certificate, what is to be used:
// "?ca=/path&cert=/path&key=/path", or "?insecure=1": whatever it shows is taken. In user and
// password %xx stands for a byte. What is shown of an address never has
// the user or the password in it.

#ifndef FB_CLIENT_ADDRESS_H
#define FB_CLIENT_ADDRESS_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_ADDRESS_NAME_SIZE = 300 };

typedef struct fb_address {
    char user[128], password[256];  // "" where there is none
    char host[256], port[8];        // "" where there is a path
    char path[108];
    bool tls, tls_insecure;
    char tls_ca[256], tls_cert[256], tls_key[256];  // paths; "": none
    char name[FB_ADDRESS_NAME_SIZE];  // "127.0.0.1:6380", "unix:/path"
} fb_address;

// FB_OK or FB_EINVAL.
FB_CHECK_RESULT int fb_address_read(fb_str text, fb_address *address, fb_error *error);

#ifdef __cplusplus
}
#endif

#endif
