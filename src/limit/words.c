// Verdicts in words, and addresses as keys.
//
// A wait is told in the largest unit of which it is two or exactly one, so that rounding up never
// doubles it: 61 minutes are "61 minutes", not "2 hours". A window is told by its name where it has
// one (a calendar's day may have 23 or 25 hours, and a month 28 to 31 days).
//
// Addresses are read by RFC 4291 and written by RFC 5952: one subject has one key, however its
// address was written. What is no address is somebody's own idea of a key and is left alone.

#include "limit/words.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

#define S_US INT64_C(1000000)
#define MINUTE_US (60 * S_US)
#define HOUR_US (60 * MINUTE_US)
#define DAY_US (24 * HOUR_US)

enum { WORDS = 8, WORD_BITS = 16, NOUN_MAX = 64, WAIT_SIZE = 32, ADDRESS_SIZE = 64 };

const char *fb_limit_source_text(fb_limit_source source) {
    switch (source) {
#define SOURCE_TEXT(name, text, help) \
    case FB_LIMIT_BY_##name:          \
        return text;
        FB_LIMIT_SOURCES(SOURCE_TEXT)
#undef SOURCE_TEXT
    }
    return "";
}

// ---- putting together
//
// A message goes with each verdict, and by printf it took as long as deciding did.

typedef struct line {
    char *text;
    size_t len, size;  // with its end
} line;

static line begin(char *text, size_t size) {
    text[0] = '\0';
    return (line){text, 0, size};
}

static void put(line *to, fb_str part) {
    size_t room = to->size - to->len - 1;
    size_t len = part.len < room ? part.len : room;
    memcpy(to->text + to->len, part.ptr, len);
    to->len += len;
    to->text[to->len] = '\0';
}

static void put_number(line *to, int64_t number) {
    char digits[20];  // 2^63 has 19
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    put(to, fb_str_make(digits + at, sizeof(digits) - at));
}

// ---- time

typedef struct unit {
    int64_t us;
    const char *name;
} unit;

static const unit units[] = {{DAY_US, "day"},
                             {HOUR_US, "hour"},
                             {MINUTE_US, "minute"},
                             {S_US, "second"},
                             {1000, "millisecond"},
                             {1, "microsecond"}};
enum { UNIT_COUNT = sizeof(units) / sizeof(units[0]), SECOND = 3 };

static int64_t divide_up(int64_t number, int64_t by) {
    return number / by + (number % by > 0);
}

const char *fb_limit_wait_text(int64_t wait_us, char *text) {
    // Whole seconds, so that "exactly one minute" is what people call that.
    int64_t wait_s = wait_us > S_US ? divide_up(wait_us, S_US) : 1;
    size_t i = 0;

    while (i < SECOND && wait_s < 2 * (units[i].us / S_US) && wait_s != units[i].us / S_US) {
        i++;
    }
    int64_t count = divide_up(wait_s, units[i].us / S_US);
    line to = begin(text, WAIT_SIZE);
    put_number(&to, count);
    put(&to, FB_STR(" "));
    put(&to, fb_str_of(units[i].name));
    put(&to, fb_str_of(count == 1 ? "" : "s"));
    return text;
}

// Whether the window is from low to high days, a change of the clocks by an hour included.
static bool is_days(int64_t window_us, int low, int high) {
    return window_us >= low * DAY_US - HOUR_US && window_us <= high * DAY_US + HOUR_US;
}

// " this minute", " today", " in this 5-minute window"; nothing where there is no window.
static void put_window(line *to, int64_t window_us) {
    size_t i = 0;

    if (window_us <= 0) {
        return;
    }
    if (is_days(window_us, 1, 1)) {
        put(to, FB_STR(" today"));
    } else if (is_days(window_us, 7, 7)) {
        put(to, FB_STR(" this week"));
    } else if (is_days(window_us, 28, 31)) {
        put(to, FB_STR(" this month"));
    } else if (is_days(window_us, 365, 366)) {
        put(to, FB_STR(" this year"));
    } else {
        while (i + 1 < UNIT_COUNT && window_us % units[i].us != 0) {
            i++;
        }
        bool one = window_us == units[i].us;
        put(to, one ? FB_STR(" this ") : FB_STR(" in this "));
        if (!one) {
            put_number(to, window_us / units[i].us);
            put(to, FB_STR("-"));
        }
        put(to, fb_str_of(units[i].name));
        put(to, one ? FB_STR("") : FB_STR(" window"));
    }
}

// ---- nouns

// "tries" → "try", "matches" → "match", "requests" → "request"; what the rules of English get wrong
// is given as "singular|plural".
static fb_str singular_of(fb_str plural, char *text) {
    static const char *const hissing[] = {"sses", "shes", "ches", "xes"};
    size_t cut = fb_str_ends(plural, FB_STR("s")) && !fb_str_ends(plural, FB_STR("ss")) ? 1 : 0;

    if (plural.len > 4 && fb_str_ends(plural, FB_STR("ies"))) {
        size_t len = plural.len - 3 < NOUN_MAX - 1 ? plural.len - 3 : NOUN_MAX - 1;
        memcpy(text, plural.ptr, len);
        text[len] = 'y';
        return fb_str_make(text, len + 1);
    }
    for (size_t i = 0; i < sizeof(hissing) / sizeof(hissing[0]); i++) {
        cut = fb_str_ends(plural, fb_str_of(hissing[i])) ? 2 : cut;
    }
    return fb_str_make(plural.ptr, plural.len - cut);
}

// What a verdict without a window is about: leases.
static bool is_of_slots(const fb_verdict *verdict) {
    return verdict->window_us == 0 && verdict->limit > 0;
}

// `text` of NOUN_MAX bytes.
static fb_str noun_for(uint32_t count, const fb_verdict *verdict, char *text) {
    bool named = verdict->message != NULL && verdict->message[0] != '\0';
    fb_str noun = named ? fb_str_of(verdict->message) : FB_STR("requests");
    if (is_of_slots(verdict) && fb_str_equal(noun, FB_STR("requests"))) {
        noun = FB_STR("slots");  // nobody said what they are
    }
    size_t bar = fb_str_find(noun, '|');

    if (bar < noun.len) {
        noun = count == 1 ? fb_str_make(noun.ptr, bar)
                          : fb_str_make(noun.ptr + bar + 1, noun.len - bar - 1);
    } else if (count == 1) {
        noun = singular_of(noun, text);
    }
    noun.len = noun.len < NOUN_MAX ? noun.len : NOUN_MAX;
    return noun;
}

// ---- verdicts

static void say_denied(const fb_verdict *verdict, line *to) {
    char wait[WAIT_SIZE], noun_text[NOUN_MAX];

    if (verdict->source == FB_LIMIT_BY_BARRED) {
        put(to, FB_STR("Not allowed."));
    } else if (verdict->impossible) {
        put_number(to, verdict->cost);
        put(to, FB_STR(" "));
        put(to, noun_for(verdict->cost, verdict, noun_text));
        put(to, FB_STR(" at once are more than the limit of "));
        put_number(to, verdict->limit);
        put(to, FB_STR("."));
    } else {
        if (verdict->source == FB_LIMIT_BY_CLOSED) {
            put(to, FB_STR("The rate limit cannot be checked right now."));
        } else if (is_of_slots(verdict)) {
            put(to, FB_STR("No "));
            put(to, noun_for(1, verdict, noun_text));
            put(to, FB_STR(" is free."));
        } else {
            put(to, FB_STR("Rate limit exceeded."));
        }
        put(to, FB_STR(" Try again in "));
        put(to, fb_str_of(fb_limit_wait_text(verdict->retry_us, wait)));
        put(to, FB_STR("."));
    }
}

// Of a rule in shadow mode nobody is told that he would have been denied.
const char *fb_verdict_message(const fb_verdict *verdict, char *text) {
    char noun_text[NOUN_MAX];
    line to = begin(text, FB_LIMIT_MESSAGE_SIZE);

    if (!verdict->allowed) {
        say_denied(verdict, &to);
    } else if (verdict->source == FB_LIMIT_BY_EXEMPT) {
        put(&to, FB_STR("Not limited."));
    } else if (verdict->source == FB_LIMIT_BY_OPEN) {
        put(&to, FB_STR("Not limited right now."));
    } else {
        put_number(&to, verdict->remaining);
        put(&to, FB_STR(" "));
        put(&to, noun_for(verdict->remaining, verdict, noun_text));
        put(&to, FB_STR(" remaining"));
        put_window(&to, verdict->window_us);
    }
    return text;
}

// ---- addresses

static int hex_of(char byte) {
    if (byte >= '0' && byte <= '9') {
        return byte - '0';
    }
    byte = (char)(byte | 0x20);
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

// "192.0.2.1", the whole of `text`, as two words.
static bool read_dotted(fb_str text, uint16_t *words) {
    uint32_t numbers[4];

    for (size_t i = 0; i < 4; i++) {
        size_t len = fb_str_find(text, '.');
        int64_t number = 0;
        if ((len < text.len) != (i < 3) || len > 3 ||
            fb_str_int(fb_str_make(text.ptr, len), &number) != FB_OK || number < 0 ||
            number > 255) {
            return false;
        }
        numbers[i] = (uint32_t)number;
        len += i < 3;
        text = fb_str_make(text.ptr + len, text.len - len);
    }
    words[0] = (uint16_t)(numbers[0] << 8 | numbers[1]);
    words[1] = (uint16_t)(numbers[2] << 8 | numbers[3]);
    return true;
}

// One to four hex digits at the front; how many, or 0.
static size_t read_word(fb_str text, uint16_t *word) {
    uint32_t number = 0;
    size_t len = 0;

    while (len < text.len && len < 4 && hex_of(text.ptr[len]) >= 0) {
        number = number << 4 | (uint32_t)hex_of(text.ptr[len]);
        len++;
    }
    *word = (uint16_t)number;
    return len;
}

// Words with ':' between them, up to the end of `text` or to a "::", which is left in it; at the
// end the last two may be dotted. How many there are; -1: it is something else.
static int read_words(fb_str *text, uint16_t *words, int max) {
    int count = 0;

    while (text->len > 0 && !fb_str_starts(*text, FB_STR("::"))) {
        if (count > 0) {
            if (text->ptr[0] != ':') {
                return -1;
            }
            *text = fb_str_make(text->ptr + 1, text->len - 1);
        }
        if (count + 2 <= max && read_dotted(*text, words + count)) {
            *text = fb_str_make(text->ptr + text->len, 0);
            return count + 2;
        }
        size_t len = count < max ? read_word(*text, words + count) : 0;
        if (len == 0) {
            return -1;
        }
        *text = fb_str_make(text->ptr + len, text->len - len);
        count++;
    }
    return count;
}

static bool read_ipv6(fb_str text, uint16_t words[WORDS]) {
    uint16_t tail[WORDS];

    memset(words, 0, WORDS * sizeof(words[0]));
    int head_count = read_words(&text, words, WORDS);
    if (head_count < 0 || text.len == 0) {
        return head_count == WORDS;
    }
    text = fb_str_make(text.ptr + 2, text.len - 2);
    int tail_count = read_words(&text, tail, WORDS - 1 - head_count);
    if (tail_count < 0 || text.len > 0 || head_count > WORDS - 1) {
        return false;
    }
    for (int i = 0; i < tail_count; i++) {
        words[WORDS - tail_count + i] = tail[i];
    }
    return true;
}

static void keep_bits(uint16_t words[WORDS], uint32_t bits) {
    for (uint32_t i = 0; i < WORDS; i++) {
        uint32_t here = bits <= i * WORD_BITS ? 0 : bits - i * WORD_BITS;
        if (here < WORD_BITS) {
            words[i] &= (uint16_t)(0xffff0000u >> here);
        }
    }
}

// The first of the longest runs of zero words, which "::" stands for; of one word it does not.
static int find_zeros(const uint16_t words[WORDS], int *count) {
    int best = WORDS;

    *count = 1;
    for (int i = 0; i < WORDS; i++) {
        int end = i;
        while (end < WORDS && words[end] == 0) {
            end++;
        }
        if (end - i > *count) {
            *count = end - i;
            best = i;
        }
    }
    return best;
}

static fb_str write_network(const uint16_t words[WORDS], uint32_t bits, char *text) {
    int zeros = 0, at = 0;
    int gap = find_zeros(words, &zeros);

    for (int i = 0; i < WORDS; i++) {
        if (i == gap) {
            at += snprintf(text + at, (size_t)(ADDRESS_SIZE - at), "::");
            i += zeros - 1;
        } else {
            bool colon = i > 0 && i != gap + zeros;
            at += snprintf(text + at, (size_t)(ADDRESS_SIZE - at), "%s%x", colon ? ":" : "",
                           words[i]);
        }
    }
    at += snprintf(text + at, (size_t)(ADDRESS_SIZE - at), "/%" PRIu32, bits);
    return fb_str_make(text, (size_t)at);
}

static bool is_mapped(const uint16_t words[WORDS]) {
    static const uint16_t prefix[] = {0, 0, 0, 0, 0, 0xffff};

    return memcmp(words, prefix, sizeof(prefix)) == 0;
}

fb_str fb_limit_address_key(fb_str key, uint32_t prefix_len, char *text) {
    fb_str bare = key;
    uint16_t words[WORDS];

    if (fb_str_starts(key, FB_STR("[")) && fb_str_ends(key, FB_STR("]"))) {
        bare = fb_str_make(key.ptr + 1, key.len - 2);
    }
    if (!read_ipv6(bare, words)) {
        return key;
    }
    if (is_mapped(words)) {
        int len = snprintf(text, ADDRESS_SIZE, "%d.%d.%d.%d", words[6] >> 8, words[6] & 0xff,
                           words[7] >> 8, words[7] & 0xff);
        return fb_str_make(text, (size_t)len);
    }
    uint32_t bits = prefix_len < WORDS * WORD_BITS ? prefix_len : WORDS * WORD_BITS;
    keep_bits(words, bits);
    return write_network(words, bits, text);
}
