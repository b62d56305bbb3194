// Kinds of mail.
//
// Idea: a small sorted list of kinds, each with its templates compiled, and one function that goes
// the whole way from variables to a message. Accepting, sending and previewing call that one
// function, so that what was accepted is what is sent.
//
// Adding is all or nothing: a kind is changed as a copy, which takes the old one's place at the
// end.
//
// A subject is a template as a text is; that it has one line is seen when it is rendered, and said
// of the variable that broke it.

#include "mail/kinds.h"

#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "mail/address.h"
#include "mail/builtin.h"
#include "mail/message.h"
#include "mail/template.h"

enum { BODY_LINE = 2, KINDS_FIRST = 8, ALWAYS_COUNT = 3 };

typedef struct kind_var {
    fb_str name;  // within a template
    bool needed;
} kind_var;

typedef struct kind {
    fb_str name;               // owned
    char *text_file, *html_file;
    bool own_text, own_html;   // not built in
    fb_template *subject, *text, *html;  // html may be NULL; the others while only it was added
    uint32_t subject_column;   // bytes before the subject in its line
    kind_var vars[FB_MAIL_VARS_MAX];
    size_t var_count;
} kind;

struct fb_kinds {
    kind **kinds;  // by name
    size_t count, cap;
};

static const char *const always[ALWAYS_COUNT] = {"product", "to", "kind"};

// ---- kinds

static void free_text(kind *k) {
    fb_template_free(k->subject);
    fb_template_free(k->text);
    fb_mem_free(k->text_file);
    k->subject = k->text = NULL;
    k->text_file = NULL;
}

static void free_html(kind *k) {
    fb_template_free(k->html);
    fb_mem_free(k->html_file);
    k->html = NULL;
    k->html_file = NULL;
    k->own_html = false;
}

static void free_kind(kind *k) {
    if (k != NULL) {
        free_text(k);
        free_html(k);
        fb_mem_free((char *)(uintptr_t)k->name.ptr);
        fb_mem_free(k);
    }
}

static bool is_kind_name(fb_str name) {
    for (size_t i = 0; i < name.len; i++) {
        char byte = name.ptr[i];
        if (!(byte >= 'a' && byte <= 'z') && !(byte >= 'A' && byte <= 'Z') &&
            !(byte >= '0' && byte <= '9') && byte != '_' && byte != '-') {
            return false;
        }
    }
    return name.len > 0 && name.len <= FB_KIND_NAME_MAX;
}

// Where the name is, or would be.
static size_t place_of(const fb_kinds *kinds, fb_str name) {
    size_t low = 0, high = kinds->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (fb_str_compare(kinds->kinds[middle]->name, name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static kind *kind_at(const fb_kinds *kinds, size_t place, fb_str name) {
    return place < kinds->count && fb_str_equal(kinds->kinds[place]->name, name)
               ? kinds->kinds[place]
               : NULL;
}

// ---- which variables

static bool is_always(fb_str name) {
    for (size_t i = 0; i < ALWAYS_COUNT; i++) {
        if (fb_str_equal(name, fb_str_of(always[i]))) {
            return true;
        }
    }
    return false;
}

typedef struct collecting {
    kind *to;
    bool too_many;
} collecting;

static void collect(void *arg, fb_str name, bool needed) {
    collecting *c = arg;
    kind *k = c->to;

    if (is_always(name)) {
        return;
    }
    for (size_t i = 0; i < k->var_count; i++) {
        if (fb_str_equal(k->vars[i].name, name)) {
            k->vars[i].needed = k->vars[i].needed || needed;
            return;
        }
    }
    if (k->var_count == FB_MAIL_VARS_MAX) {
        c->too_many = true;
        return;
    }
    k->vars[k->var_count++] = (kind_var){name, needed};
}

static int collect_vars(kind *k, const char *path, fb_error *error) {
    const fb_template *templates[] = {k->subject, k->text, k->html};
    collecting c = {.to = k};

    k->var_count = 0;
    for (size_t i = 0; i < sizeof(templates) / sizeof(templates[0]); i++) {
        if (templates[i] != NULL) {
            fb_template_vars(templates[i], collect, &c);
        }
    }
    if (c.too_many) {
        (void)fb_error_set(error, FB_ETOOBIG, "the kind has more than %d variables",
                           FB_MAIL_VARS_MAX);
        fb_error_place(error, path, 0, 0);
        return FB_ETOOBIG;
    }
    return FB_OK;
}

// ---- reading files

static int refuse_head(fb_error *error, const char *path, uint32_t line, const char *why) {
    (void)fb_error_set(error, FB_ESYNTAX, "%s", why);
    fb_error_place(error, path, line, 1);
    return FB_ESYNTAX;
}

// The next line without its end, taken off *rest.
static fb_str take_line(fb_str *rest) {
    size_t len = fb_str_find(*rest, '\n');
    fb_str line = fb_str_make(rest->ptr, len);

    len += len < rest->len;
    *rest = fb_str_make(rest->ptr + len, rest->len - len);
    line.len -= fb_str_ends(line, FB_STR("\r"));
    return line;
}

// The error of a template that begins further down, or to the right.
static void move_place(fb_error *error, uint32_t lines, uint32_t columns) {
    if (error != NULL && error->line > 0) {
        error->column += error->line == 1 ? columns : 0;
        error->line += lines;
    }
}

static int read_text(kind *k, fb_str bytes, const char *path, fb_error *error) {
    fb_str rest = bytes;
    fb_str field = FB_STR("Subject:");

    if (fb_str_starts(rest, FB_STR("\xef\xbb\xbf"))) {
        rest = fb_str_make(rest.ptr + 3, rest.len - 3);
    }
    fb_str line = take_line(&rest);
    if (line.len < field.len || !fb_str_same(fb_str_make(line.ptr, field.len), field)) {
        return refuse_head(error, path, 1, "expected \"Subject: \" and the subject");
    }
    fb_str subject = fb_str_trim(fb_str_make(line.ptr + field.len, line.len - field.len));
    if (subject.len == 0) {
        return refuse_head(error, path, 1, "the subject is empty");
    }
    if (fb_str_trim(take_line(&rest)).len > 0) {
        return refuse_head(error, path, BODY_LINE, "expected an empty line behind the subject");
    }
    k->subject_column = (uint32_t)(subject.ptr - line.ptr);
    int result = fb_template_new(subject, path, false, &k->subject, error);
    if (result != FB_OK) {
        move_place(error, 0, k->subject_column);
        return result;
    }
    result = fb_template_new(rest, path, false, &k->text, error);
    if (result != FB_OK) {
        move_place(error, BODY_LINE, 0);
    }
    return result;
}

// Reads the file into `changed`, a kind of nothing but a name.
static int read_file(kind *changed, bool html, fb_str bytes, const char *path, fb_error *error) {
    char *file = fb_mem_text(fb_str_of(path));
    int result = FB_ENOMEM;

    if (file == NULL) {
        return fb_error_set(error, FB_ENOMEM, "%s", fb_result_text(FB_ENOMEM));
    }
    if (html) {
        changed->html_file = file;
        result = fb_template_new(bytes, path, true, &changed->html, error);
    } else {
        changed->text_file = file;
        result = read_text(changed, bytes, path, error);
    }
    return result;
}

// Moves to `changed` what the file did not replace.
static void take_over(kind *changed, kind *old, bool html) {
    if (html) {
        changed->subject = old->subject;
        changed->text = old->text;
        changed->text_file = old->text_file;
        changed->subject_column = old->subject_column;
        changed->own_text = old->own_text;
    } else if (old->own_html || !changed->own_text) {
        changed->html = old->html;
        changed->html_file = old->html_file;
        changed->own_html = old->own_html;
    }
}

// Forgets what it took over: the old kind has it still.
static void give_back(kind *changed, const kind *old) {
    if (changed->text == old->text) {
        changed->subject = changed->text = NULL;
        changed->text_file = NULL;
    }
    if (changed->html == old->html) {
        changed->html = NULL;
        changed->html_file = NULL;
    }
}

static int insert(fb_kinds *kinds, size_t place, kind *k, fb_error *error) {
    if (kinds->count == FB_KINDS_MAX) {
        return fb_error_set(error, FB_EFULL, "there are %d kinds of mail already", FB_KINDS_MAX);
    }
    if (kinds->count == kinds->cap) {
        size_t cap = kinds->cap == 0 ? KINDS_FIRST : kinds->cap * 2;
        kind **resized = fb_mem_resize(kinds->kinds, cap * sizeof(*resized));
        if (resized == NULL) {
            return fb_error_set(error, FB_ENOMEM, "%s", fb_result_text(FB_ENOMEM));
        }
        kinds->kinds = resized;
        kinds->cap = cap;
    }
    memmove(&kinds->kinds[place + 1], &kinds->kinds[place],
            (kinds->count - place) * sizeof(*kinds->kinds));
    kinds->kinds[place] = k;
    kinds->count++;
    return FB_OK;
}

static kind *new_kind(fb_str name) {
    kind *k = fb_mem_zero(1, sizeof(*k));

    if (k != NULL) {
        k->name = fb_str_make(fb_mem_text(name), name.len);
        if (k->name.ptr == NULL) {
            free_kind(k);
            k = NULL;
        }
    }
    return k;
}

typedef struct added {
    fb_str name, bytes;
    const char *path;
    bool html, own;
} added;

static int add(fb_kinds *kinds, const added *a, fb_error *error) {
    size_t place = place_of(kinds, a->name);
    kind *old = kind_at(kinds, place, a->name);
    kind *changed = new_kind(a->name);

    if (changed == NULL) {
        return fb_error_set(error, FB_ENOMEM, "%s", fb_result_text(FB_ENOMEM));
    }
    changed->own_text = !a->html && a->own;
    changed->own_html = a->html && a->own;
    int result = read_file(changed, a->html, a->bytes, a->path, error);
    if (result != FB_OK) {
        free_kind(changed);
        return result;
    }
    if (old != NULL) {
        take_over(changed, old, a->html);
    }
    result = collect_vars(changed, a->path, error);
    if (result == FB_OK && old == NULL) {
        result = insert(kinds, place, changed, error);
    } else if (result == FB_OK) {
        give_back(old, changed);
        free_kind(old);
        kinds->kinds[place] = changed;
    }
    if (result != FB_OK) {
        if (old != NULL) {
            give_back(changed, old);
        }
        free_kind(changed);
    }
    return result;
}

int fb_kinds_new(fb_kinds **kinds) {
    *kinds = fb_mem_zero(1, sizeof(**kinds));
    if (*kinds == NULL) {
        return FB_ENOMEM;
    }
    for (const fb_mail_builtin *one = fb_mail_builtins; one->file != NULL; one++) {
        fb_str name = fb_str_of(one->file);
        bool html = fb_str_ends(name, FB_STR(".html"));
        added a = {.name = {name.ptr, name.len - (html ? 5 : 4)}, .bytes = one->bytes,
                   .path = one->file, .html = html};
        int result = add(*kinds, &a, NULL);
        FB_ASSERT(result == FB_OK || result == FB_ENOMEM);
        if (result != FB_OK) {
            fb_kinds_free(*kinds);
            *kinds = NULL;
            return result;
        }
    }
    return FB_OK;
}

void fb_kinds_free(fb_kinds *kinds) {
    if (kinds != NULL) {
        for (size_t i = 0; i < kinds->count; i++) {
            free_kind(kinds->kinds[i]);
        }
        fb_mem_free(kinds->kinds);
        fb_mem_free(kinds);
    }
}

int fb_kinds_add(fb_kinds *kinds, fb_str file, fb_str bytes, const char *path, fb_error *error) {
    bool html = fb_str_ends(file, FB_STR(".html"));
    bool text = fb_str_ends(file, FB_STR(".txt"));
    added a = {.name = file, .bytes = bytes, .path = path, .html = html, .own = true};

    if ((!html && !text) || file.ptr[0] == '.') {
        return FB_MISS;
    }
    a.name.len -= html ? 5 : 4;
    if (!is_kind_name(a.name)) {
        (void)fb_error_set(error, FB_EINVAL,
                           "a kind's name has letters, digits, _ and - alone, at most %d",
                           FB_KIND_NAME_MAX);
        fb_error_place(error, path, 0, 0);
        return FB_EINVAL;
    }
    return add(kinds, &a, error);
}

int fb_kinds_check(const fb_kinds *kinds, fb_error *error) {
    for (size_t i = 0; i < kinds->count; i++) {
        const kind *k = kinds->kinds[i];
        if (k->text == NULL) {
            (void)fb_error_set(error, FB_EINVAL,
                               "there is no %.*s.txt beside it, which would have the subject",
                               FB_STR_ARG(k->name));
            fb_error_place(error, k->html_file, 0, 0);
            return FB_EINVAL;
        }
    }
    return FB_OK;
}

// ---- what there is

size_t fb_kinds_count(const fb_kinds *kinds) {
    return kinds->count;
}

void fb_kinds_at(const fb_kinds *kinds, size_t index, fb_kind_info *info) {
    FB_ASSERT(index < kinds->count);
    const kind *k = kinds->kinds[index];

    *info = (fb_kind_info){.name = k->name, .html = k->html != NULL,
                           .file = k->own_text ? k->text_file : "built in"};
}

size_t fb_kinds_find(const fb_kinds *kinds, fb_str name) {
    size_t place = place_of(kinds, name);

    return kind_at(kinds, place, name) != NULL ? place : FB_KINDS_MAX;
}

void fb_kinds_vars(const fb_kinds *kinds, size_t index, fb_kind_var_fn fn, void *arg) {
    FB_ASSERT(index < kinds->count);
    const kind *k = kinds->kinds[index];

    for (size_t i = 0; i < k->var_count; i++) {
        fn(arg, k->vars[i].name, k->vars[i].needed);
    }
}

// ---- rendering

typedef struct rendering {
    const fb_mail_draft *draft;
    const kind *kind;
    fb_address from, to, reply_to;
    fb_mail_var vars[FB_MAIL_VARS_MAX + ALWAYS_COUNT];
    size_t var_count;
    fb_buf subject, text, html;
    fb_error *error;
} rendering;

static int parse_address(const rendering *r, const char *what, fb_str text, fb_address *address) {
    fb_error why = {0};

    if (fb_address_parse(text, address, &why) != FB_OK) {
        return fb_error_set(r->error, FB_EINVAL, "%s: not a mail address: %s (byte %u)", what,
                            why.text, why.column);
    }
    return FB_OK;
}

static int parse_addresses(rendering *r) {
    const fb_mail_draft *draft = r->draft;
    int result = parse_address(r, "to", draft->to, &r->to);

    result = result == FB_OK ? parse_address(r, "from", draft->from, &r->from) : result;
    return result == FB_OK && draft->reply_to.len > 0
               ? parse_address(r, "reply_to", draft->reply_to, &r->reply_to)
               : result;
}

static bool has_var(const rendering *r, fb_str name) {
    for (size_t i = 0; i < r->var_count; i++) {
        if (fb_str_equal(r->vars[i].name, name)) {
            return true;
        }
    }
    return false;
}

static int take_var(rendering *r, size_t index) {
    const fb_mail_var *var = &r->draft->vars[index];

    if (!fb_template_is_name(var->name)) {
        return fb_error_set(r->error, FB_EINVAL,
                            "variable %zu has a name that is none: letters, digits and _ alone, "
                            "at most %d",
                            index + 1, FB_TEMPLATE_NAME_MAX);
    }
    if (has_var(r, var->name)) {
        return fb_error_set(r->error, FB_EINVAL, "variable \"%.*s\" is there twice",
                            FB_STR_ARG(var->name));
    }
    if (fb_str_equal(var->name, FB_STR("to")) || fb_str_equal(var->name, FB_STR("kind"))) {
        return fb_error_set(r->error, FB_EINVAL, "variable \"%.*s\" is there already",
                            FB_STR_ARG(var->name));
    }
    r->vars[r->var_count++] = *var;
    return FB_OK;
}

static int take_vars(rendering *r) {
    const fb_mail_draft *draft = r->draft;
    int result = FB_OK;

    if (draft->var_count > FB_MAIL_VARS_MAX) {
        return fb_error_set(r->error, FB_ETOOBIG, "more than %d variables", FB_MAIL_VARS_MAX);
    }
    for (size_t i = 0; i < draft->var_count && result == FB_OK; i++) {
        result = take_var(r, i);
    }
    if (result == FB_OK) {
        if (!has_var(r, FB_STR("product"))) {
            r->vars[r->var_count++] = (fb_mail_var){FB_STR("product"), draft->product};
        }
        r->vars[r->var_count++] = (fb_mail_var){FB_STR("to"), r->to.spec};
        r->vars[r->var_count++] = (fb_mail_var){FB_STR("kind"), draft->kind};
    }
    return result;
}

typedef struct breaking {
    const rendering *rendering;
    fb_str name;
} breaking;

static void find_breaking(void *arg, fb_str name, bool needed) {
    breaking *b = arg;
    const rendering *r = b->rendering;

    (void)needed;
    for (size_t i = 0; i < r->var_count && b->name.len == 0; i++) {
        fb_str value = r->vars[i].value;
        if (fb_str_equal(r->vars[i].name, name) && fb_str_find(value, '\n') < value.len) {
            b->name = name;
        }
    }
}

static int render_subject(rendering *r) {
    breaking b = {.rendering = r};
    int result = fb_template_render(r->kind->subject, r->vars, r->var_count, &r->subject, r->error);

    if (result != FB_OK) {
        move_place(r->error, 0, r->kind->subject_column);
        return result;
    }
    fb_str subject = fb_buf_str(&r->subject);
    if (fb_str_find(subject, '\n') == subject.len) {
        return FB_OK;
    }
    fb_template_vars(r->kind->subject, find_breaking, &b);
    return fb_error_set(r->error, FB_EINVAL,
                        "variable \"%.*s\" has a line end, and stands in the subject",
                        FB_STR_ARG(b.name));
}

static int render_parts(rendering *r) {
    int result = render_subject(r);

    if (result == FB_OK) {
        result = fb_template_render(r->kind->text, r->vars, r->var_count, &r->text, r->error);
        if (result != FB_OK) {
            move_place(r->error, BODY_LINE, 0);
        }
    }
    return result == FB_OK && r->kind->html != NULL
               ? fb_template_render(r->kind->html, r->vars, r->var_count, &r->html, r->error)
               : result;
}

static int write_message(const rendering *r, fb_buf *out) {
    const fb_mail_draft *draft = r->draft;
    fb_message message = {
        .from = &r->from,
        .to = &r->to,
        .reply_to = draft->reply_to.len > 0 ? &r->reply_to : NULL,
        .subject = fb_buf_str(&r->subject),
        .message_id = draft->message_id,
        .date_ms = draft->date_ms,
        .text = fb_buf_str(&r->text),
        .html = fb_buf_str(&r->html),
        .auto_submitted = FB_STR("auto-generated"),
        .seed = draft->seed,
    };

    return fb_message_write(&message, out, r->error);
}

static int refuse_kind(fb_error *error, fb_str name) {
    return is_kind_name(name)
               ? fb_error_set(error, FB_ENOMAIL, "no kind of mail \"%.*s\"", FB_STR_ARG(name))
               : fb_error_set(error, FB_ENOMAIL, "no such kind of mail");
}

int fb_mail_render(const fb_kinds *kinds, const fb_mail_draft *draft, fb_buf *out,
                   fb_error *error) {
    rendering r = {.draft = draft, .error = error};

    r.kind = kind_at(kinds, place_of(kinds, draft->kind), draft->kind);
    if (r.kind == NULL || r.kind->text == NULL) {
        return refuse_kind(error, draft->kind);
    }
    int result = parse_addresses(&r);
    result = result == FB_OK ? take_vars(&r) : result;
    result = result == FB_OK ? render_parts(&r) : result;
    result = result == FB_OK ? write_message(&r, out) : result;
    fb_buf_release(&r.subject);
    fb_buf_release(&r.text);
    fb_buf_release(&r.html);
    return result;
}
