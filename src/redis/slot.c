// The slot of a key, as the Redis Cluster specification has it: CRC16 (XMODEM: polynomial 0x1021,
// from 0, not reflected), four bits at a time: sixteen constants instead of 256, and keys' hash
// tags are short.

#include "redis/route.h"

#include "base/str.h"

static const uint16_t nibbles[16] = {
    0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5, 0x60c6, 0x70e7,
    0x8108, 0x9129, 0xa14a, 0xb16b, 0xc18c, 0xd1ad, 0xe1ce, 0xf1ef,
};

static uint16_t crc16(fb_str bytes) {
    uint32_t crc = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        uint32_t byte = (unsigned char)bytes.ptr[i];
        crc = ((crc << 4) ^ nibbles[((crc >> 12) ^ (byte >> 4)) & 15]) & 0xffff;
        crc = ((crc << 4) ^ nibbles[((crc >> 12) ^ byte) & 15]) & 0xffff;
    }
    return (uint16_t)crc;
}

uint16_t fb_slot_of(fb_str key) {
    return crc16(fb_str_hash_tag(key)) % FB_SLOTS;
}
