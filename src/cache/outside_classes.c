// The daemon's side of cache/outside.h: which classes there are. A file of its own, because it needs
// classes, and these need much that a reader does without.
//
// A row tells a class by prints, 64 bits each: of its name, and of all that its values follow from.
// By them the next daemon finds out which of the entries it finds are still what its own classes
// would load. Two classes with one print in a configuration that its owner wrote: once in 10^13.

#include "cache/outside.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/str.h"
#include "cache/class.h"
#include "cache/stamps.h"

static uint64_t get(const _Atomic(uint64_t) *part) {
    return atomic_load_explicit(part, memory_order_acquire);
}

static void put(_Atomic(uint64_t) *part, uint64_t number) {
    atomic_store_explicit(part, number, memory_order_release);
}

static uint64_t print_of(fb_str name) {
    uint64_t print = fb_hash64(name, 0);
    return print != 0 ? print : 1;
}

uint16_t fb_outside_class_id(const fb_outside *outside, fb_str name) {
    uint64_t print = print_of(name);
    for (uint16_t id = 1; id < FB_CLASS_MAX; id++) {
        if (get(&outside->table->classes[id].name_print) == print) {
            return id;
        }
    }
    return FB_CLASS_PLAIN;
}

bool fb_outside_has(const fb_outside *outside, const fb_class *class_) {
    const fb_outside_class *row = &outside->table->classes[class_->id % FB_CLASS_MAX];
    return get(&row->name_print) == print_of(class_->name) &&
           get(&row->value_print) == fb_class_print(class_);
}

uint16_t fb_outside_namespace(const fb_outside *outside, uint16_t class_id) {
    return (uint16_t)(get(&outside->table->classes[class_id % FB_CLASS_MAX].namespace_id) %
                      FB_CLASS_MAX);
}

void fb_outside_close(fb_outside_table *table) {
    put(&table->generation, fb_outside_generation(&(fb_outside){.table = table}) | 1);
}

static void put_row(fb_outside_class *row, const fb_class *class_) {
    double beta = class_ != NULL ? class_->options.early_beta * FB_OUTSIDE_BETA_UNIT : 0;
    put(&row->name_print, class_ != NULL ? print_of(class_->name) : 0);
    put(&row->value_print, class_ != NULL ? fb_class_print(class_) : 0);
    put(&row->namespace_id, class_ != NULL ? class_->namespace_id : 0);
    put(&row->beta_millionths, (uint64_t)beta);
}

void fb_outside_open(fb_outside_table *table, const fb_catalog *catalog) {
    uint64_t generation = get(&table->generation);
    FB_ASSERT(generation % 2 != 0);
    for (uint16_t id = 0; id < FB_CLASS_MAX; id++) {
        const fb_class *class_ = fb_catalog_by_id(catalog, id);
        // A page without classes stays one that was never written.
        if (class_ != NULL || get(&table->classes[id].name_print) != 0) {
            put_row(&table->classes[id], class_);
        }
    }
    put(&table->generation, generation + 1);
}
