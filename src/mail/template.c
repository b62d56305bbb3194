// Templates of mails.
//
// Idea: one pass makes a flat list of steps: a piece of text, a variable, a condition with the
// place to go on at where it does not hold. Rendering walks the list and never looks back, so its
// time is that of what it writes, whatever the template. The pieces are parts of one copy of the
// source.
//
// A template is trusted for what it says, not for its syntax: everything it may do wrong is found
// when it is compiled, but for variables that are missing. What comes in by variables is never read
// as a template.
//
// Invariants: a condition's `next` is the step after its last; steps are in the order of the
// source; text steps are not empty.

#include "mail/template.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/rule.h"
#include "base/str.h"
#include "base/utf8.h"

enum { SOURCE_MAX = 1 << 20, RENDERED_MAX = 4 << 20, STEPS_FIRST = 16 };

typedef enum step_kind { STEP_TEXT, STEP_VALUE, STEP_RAW, STEP_WHERE, STEP_UNLESS } step_kind;

typedef struct step {
    step_kind kind;
    fb_str text;            // of STEP_TEXT; else the variable's name
    size_t next;            // WHERE, UNLESS: the step that comes where it does not hold
    uint32_t depth;         // conditions around it
    uint32_t line, column;
} step;

struct fb_template {
    char *name;
    char *source;
    size_t source_len;
    bool html;
    step *steps;
    size_t step_count, step_cap;
};

// ---- names and values

static bool is_letter(char byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || byte == '_';
}

bool fb_template_is_name(fb_str name) {
    if (name.len == 0 || name.len > FB_TEMPLATE_NAME_MAX || !is_letter(name.ptr[0])) {
        return false;
    }
    for (size_t i = 1; i < name.len; i++) {
        if (!is_letter(name.ptr[i]) && !(name.ptr[i] >= '0' && name.ptr[i] <= '9')) {
            return false;
        }
    }
    return true;
}

// A name that is none could hold anything: it is not repeated.
static fb_str shown_name(const fb_mail_var *var) {
    return fb_template_is_name(var->name) ? var->name : FB_STR("?");
}

static int refuse_value(fb_error *error, const fb_mail_var *var, const char *what, size_t place) {
    return fb_error_set(error, FB_EINVAL, "variable \"%.*s\" has %s at byte %zu",
                        FB_STR_ARG(shown_name(var)), what, place + 1);
}

static int check_value(const fb_mail_var *var, fb_error *error) {
    fb_str value = var->value;

    if (value.len > FB_MAIL_VALUE_MAX) {
        return fb_error_set(error, FB_ETOOBIG, "variable \"%.*s\" has more than %d bytes",
                            FB_STR_ARG(shown_name(var)), FB_MAIL_VALUE_MAX);
    }
    for (size_t at = 0, used = 0; at < value.len; at += used) {
        int32_t code = fb_utf8_next(fb_str_make(value.ptr + at, value.len - at), &used);
        if (code < 0) {
            return refuse_value(error, var, "bytes that are not UTF-8", at);
        }
        if ((code < 0x20 && code != '\n') || code == 0x7f) {
            return refuse_value(error, var, code == '\r' ? "a carriage return"
                                                         : "a control character", at);
        }
    }
    return FB_OK;
}

// ---- compiling

typedef struct compiler {
    fb_template *to;
    fb_str rest;            // what is still to be read
    uint32_t line, column;  // where it begins
    bool line_blank;        // since the line's begin there were blanks alone
    size_t open[FB_TEMPLATE_DEPTH_MAX];  // steps of conditions that have no end yet
    size_t depth;
    fb_error *error;
} compiler;

FB_PRINTF(3, 4)
static int refuse(const compiler *c, int code, const char *format, ...) {
    char text[160];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    (void)fb_error_set(c->error, code, "%s", text);
    fb_error_place(c->error, c->to->name, c->line, c->column);
    return code;
}

static void pass(compiler *c, size_t len) {
    for (size_t i = 0; i < len; i++) {
        c->column++;
        if (c->rest.ptr[i] == '\n') {
            c->line++;
            c->column = 1;
            c->line_blank = true;
        } else if (c->rest.ptr[i] != ' ' && c->rest.ptr[i] != '\t') {
            c->line_blank = false;
        }
    }
    c->rest = fb_str_make(c->rest.ptr + len, c->rest.len - len);
}

static int add(compiler *c, step_kind kind, fb_str text) {
    fb_template *to = c->to;

    if (to->step_count == to->step_cap) {
        size_t cap = to->step_cap == 0 ? STEPS_FIRST : to->step_cap * 2;
        step *steps = fb_mem_resize(to->steps, cap * sizeof(*steps));
        if (steps == NULL) {
            return FB_ENOMEM;
        }
        to->steps = steps;
        to->step_cap = cap;
    }
    to->steps[to->step_count++] = (step){.kind = kind, .text = text, .depth = (uint32_t)c->depth,
                                         .line = c->line, .column = c->column};
    return FB_OK;
}

// Where the source has `word`, from `from` on, or its length.
static size_t find(fb_str source, size_t from, const char *word) {
    const char *at = from < source.len
                         ? memmem(source.ptr + from, source.len - from, word, strlen(word))
                         : NULL;

    return at != NULL ? (size_t)(at - source.ptr) : source.len;
}

static size_t blanks(fb_str text) {
    size_t len = 0;

    while (len < text.len && (text.ptr[len] == ' ' || text.ptr[len] == '\t')) {
        len++;
    }
    return len;
}

// A tag, from its first brace: the sign after the braces (0: none), what is within, how long it all
// is.
typedef struct tag {
    char sign;
    fb_str inside;
    size_t len;
} tag;

static int read_tag(const compiler *c, tag *t) {
    fb_str rest = c->rest;
    char sign = rest.len > 2 ? rest.ptr[2] : '\0';
    bool has_sign = sign != '\0' && strchr("{#^/!>&=", sign) != NULL;
    size_t start = has_sign ? 3 : 2;
    size_t end = find(rest, start, sign == '{' ? "}}}" : "}}");

    if (end == rest.len) {
        return refuse(c, FB_ESYNTAX, "a tag that is not closed: expected %s",
                      sign == '{' ? "}}}" : "}}");
    }
    if (has_sign && strchr(">&=", sign) != NULL) {
        return refuse(c, FB_ESYNTAX, sign == '>'   ? "there are no partials: {{>"
                                     : sign == '=' ? "braces cannot be changed: {{="
                                                   : "expected {{{name}}}, not {{&name}}");
    }
    t->sign = has_sign ? sign : '\0';
    t->inside = fb_str_trim(fb_str_make(rest.ptr + start, end - start));
    t->len = end + (sign == '{' ? 3 : 2);
    if (sign != '!' && !fb_template_is_name(t->inside)) {
        return refuse(c, FB_ESYNTAX, t->inside.len == 0
                                         ? "a tag without a name"
                                         : "expected the name of a variable: letters, digits, _");
    }
    return FB_OK;
}

static int open_condition(compiler *c, const tag *t) {
    if (c->depth == FB_TEMPLATE_DEPTH_MAX) {
        return refuse(c, FB_ETOOBIG, "more than %d conditions within each other",
                      FB_TEMPLATE_DEPTH_MAX);
    }
    size_t index = c->to->step_count;
    int result = add(c, t->sign == '#' ? STEP_WHERE : STEP_UNLESS, t->inside);
    if (result == FB_OK) {
        c->open[c->depth++] = index;
    }
    return result;
}

static int close_condition(compiler *c, const tag *t) {
    if (c->depth == 0) {
        return refuse(c, FB_ESYNTAX, "{{/%.*s}} closes nothing", FB_STR_ARG(t->inside));
    }
    step *opened = &c->to->steps[c->open[c->depth - 1]];
    if (!fb_str_equal(opened->text, t->inside)) {
        return refuse(c, FB_ESYNTAX, "{{/%.*s}}, but it is %.*s, of line %u, that is open",
                      FB_STR_ARG(t->inside), FB_STR_ARG(opened->text), opened->line);
    }
    opened->next = c->to->step_count;
    c->depth--;
    return FB_OK;
}

// Whether the tag has its line for itself.
static bool is_alone(const compiler *c, const tag *t) {
    fb_str after = fb_str_make(c->rest.ptr + t->len, c->rest.len - t->len);
    size_t len = blanks(after);

    return c->line_blank && t->sign != '\0' && t->sign != '{' &&
           (len == after.len || after.ptr[len] == '\n');
}

// Takes the blanks before a tag that is alone off the text that was just added.
static void drop_blanks(fb_template *to) {
    step *last = to->step_count > 0 ? &to->steps[to->step_count - 1] : NULL;

    if (last == NULL || last->kind != STEP_TEXT) {
        return;
    }
    while (last->text.len > 0 && (last->text.ptr[last->text.len - 1] == ' ' ||
                                  last->text.ptr[last->text.len - 1] == '\t')) {
        last->text.len--;
    }
    to->step_count -= last->text.len == 0;
}

static int compile_tag(compiler *c) {
    tag t = {0};
    int result = read_tag(c, &t);

    if (result != FB_OK) {
        return result;
    }
    bool alone = is_alone(c, &t);
    if (alone) {
        drop_blanks(c->to);
    }
    switch (t.sign) {
        case '\0':
            result = add(c, STEP_VALUE, t.inside);
            break;
        case '{':
            result = add(c, STEP_RAW, t.inside);
            break;
        case '/':
            result = close_condition(c, &t);
            break;
        case '!':
            break;
        default:
            result = open_condition(c, &t);
            break;
    }
    if (result == FB_OK) {
        pass(c, t.len);
        c->line_blank = c->line_blank && alone;
    }
    if (result == FB_OK && alone) {
        size_t len = blanks(c->rest);
        pass(c, len < c->rest.len ? len + 1 : len);
    }
    return result;
}

static int compile(compiler *c) {
    int result = FB_OK;

    while (result == FB_OK && c->rest.len > 0) {
        size_t len = find(c->rest, 0, "{{");
        if (len > 0) {
            result = add(c, STEP_TEXT, fb_str_make(c->rest.ptr, len));
            if (result == FB_OK) {
                pass(c, len);
            }
        }
        if (result == FB_OK && c->rest.len > 0) {
            result = compile_tag(c);
        }
    }
    if (result == FB_OK && c->depth > 0) {
        const step *opened = &c->to->steps[c->open[c->depth - 1]];
        c->line = opened->line;
        c->column = opened->column;
        return refuse(c, FB_ESYNTAX, "{{%c%.*s}} is not closed",
                      opened->kind == STEP_WHERE ? '#' : '^', FB_STR_ARG(opened->text));
    }
    return result;
}

// Copies the source, CRLF as LF, and refuses what no mail may have.
static int copy_source(compiler *c, fb_str text) {
    fb_template *to = c->to;
    size_t used = 0;

    to->source = fb_mem_new(text.len + 1);
    if (to->source == NULL) {
        return FB_ENOMEM;
    }
    c->rest = text;
    while (c->rest.len > 0) {
        int32_t code = fb_utf8_next(c->rest, &used);
        bool line_end = code == '\r' && c->rest.len > 1 && c->rest.ptr[1] == '\n';
        if (code < 0) {
            return refuse(c, FB_ESYNTAX, "this is not UTF-8");
        }
        if ((code < 0x20 && code != '\n' && code != '\t' && !line_end) || code == 0x7f) {
            return refuse(c, FB_ESYNTAX, "a control character");
        }
        if (!line_end) {
            memcpy(to->source + to->source_len, c->rest.ptr, used);
            to->source_len += used;
        }
        pass(c, used);
    }
    c->rest = fb_str_make(to->source, to->source_len);
    c->line = c->column = 1;
    c->line_blank = true;
    return FB_OK;
}

int fb_template_new(fb_str text, const char *name, bool html, fb_template **compiled,
                    fb_error *error) {
    fb_template *to = fb_mem_zero(1, sizeof(*to));
    compiler c = {.to = to, .line = 1, .column = 1, .error = error};
    int result = FB_ENOMEM;

    *compiled = NULL;
    if (to == NULL) {
        goto fail;
    }
    to->html = html;
    to->name = fb_mem_text(fb_str_of(name));
    if (to->name == NULL) {
        goto fail;
    }
    if (fb_str_starts(text, FB_STR("\xef\xbb\xbf"))) {
        text = fb_str_make(text.ptr + 3, text.len - 3);
    }
    result = text.len > SOURCE_MAX
                 ? refuse(&c, FB_ETOOBIG, "a template of more than %d bytes", SOURCE_MAX)
                 : copy_source(&c, text);
    result = result == FB_OK ? compile(&c) : result;
    if (result == FB_OK) {
        *compiled = to;
        return FB_OK;
    }
fail:
    if (result == FB_ENOMEM) {
        (void)fb_error_set(error, FB_ENOMEM, "%s", fb_result_text(FB_ENOMEM));
    }
    fb_template_free(to);
    return result;
}

void fb_template_free(fb_template *compiled) {
    if (compiled != NULL) {
        fb_mem_free(compiled->name);
        fb_mem_free(compiled->source);
        fb_mem_free(compiled->steps);
        fb_mem_free(compiled);
    }
}

// ---- rendering

static const fb_mail_var *find_var(const fb_mail_var *vars, size_t count, fb_str name) {
    for (size_t i = 0; i < count; i++) {
        if (fb_str_equal(vars[i].name, name)) {
            return &vars[i];
        }
    }
    return NULL;
}

static const char *entity_of(char byte) {
    switch (byte) {
        case '&':
            return "&amp;";
        case '<':
            return "&lt;";
        case '>':
            return "&gt;";
        case '"':
            return "&quot;";
        case '\'':
            return "&#39;";
        default:
            return NULL;
    }
}

static int append_escaped(fb_buf *out, fb_str value) {
    size_t start = 0;
    int result = FB_OK;

    for (size_t i = 0; i < value.len && result == FB_OK; i++) {
        const char *entity = entity_of(value.ptr[i]);
        if (entity != NULL) {
            result = fb_buf_append(out, fb_str_make(value.ptr + start, i - start));
            result = result == FB_OK ? fb_buf_append(out, fb_str_of(entity)) : result;
            start = i + 1;
        }
    }
    return result == FB_OK ? fb_buf_append(out, fb_str_make(value.ptr + start, value.len - start))
                           : result;
}

static int append_value(const fb_template *compiled, const step *one, const fb_mail_var *var,
                        fb_buf *out, fb_error *error) {
    if (var == NULL) {
        (void)fb_error_set(error, FB_EINVAL, "variable \"%.*s\" is missing",
                           FB_STR_ARG(one->text));
        fb_error_place(error, compiled->name, one->line, one->column);
        return FB_EINVAL;
    }
    return FB_RULE(mail_escape) && compiled->html && one->kind == STEP_VALUE
               ? append_escaped(out, var->value)
               : fb_buf_append(out, var->value);
}

int fb_template_render(const fb_template *compiled, const fb_mail_var *vars, size_t var_count,
                       fb_buf *out, fb_error *error) {
    size_t before = out->len;
    int result = FB_OK;

    for (size_t i = 0; i < var_count && result == FB_OK; i++) {
        result = check_value(&vars[i], error);
    }
    for (size_t i = 0; i < compiled->step_count && result == FB_OK;) {
        const step *one = &compiled->steps[i++];
        const fb_mail_var *var = one->kind != STEP_TEXT ? find_var(vars, var_count, one->text)
                                                        : NULL;
        bool there = var != NULL && var->value.len > 0;
        if (one->kind == STEP_TEXT) {
            result = fb_buf_append(out, one->text);
        } else if (one->kind == STEP_VALUE || one->kind == STEP_RAW) {
            result = append_value(compiled, one, var, out, error);
        } else if (there != (one->kind == STEP_WHERE)) {
            FB_ASSERT(one->next >= i);
            i = one->next;
        }
        if (result == FB_OK && out->len - before > RENDERED_MAX) {
            result = fb_error_set(error, FB_ETOOBIG, "%s: more than %d bytes come of it",
                                  compiled->name, RENDERED_MAX);
        }
    }
    if (result == FB_ENOMEM) {
        (void)fb_error_set(error, FB_ENOMEM, "%s", fb_result_text(FB_ENOMEM));
    }
    if (result != FB_OK) {
        out->len = before;
    }
    return result;
}

void fb_template_vars(const fb_template *compiled, fb_template_var_fn fn, void *arg) {
    for (size_t i = 0; i < compiled->step_count; i++) {
        const step *one = &compiled->steps[i];
        if (one->kind != STEP_TEXT) {
            bool value = one->kind == STEP_VALUE || one->kind == STEP_RAW;
            fn(arg, one->text, value && one->depth == 0);
        }
    }
}
