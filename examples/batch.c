// Many at once. fb_fetch_start_many() asks for a page's worth of objects in one call: what is in
// memory is answered at once, and what is not gathers into one query for all of them, as the class
// says. fb_get_many() is the same for plain keys, and looks at memory alone.
//
//     cc batch.c $(pkg-config --cflags --libs forebay) -o batch && ./batch
//
// It prints:
//
//     12 products, the first {"id":1,"name":"product 1"}: 1 query
//     12 products again: 1 query
//     24 products: 2 queries
//     of 3 keys 2 are there

#include <forebay/forebay.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>

// The file is an empty database, and the queries make their rows up: everything else is as with a
// real one.
static const char classes[] =
    "memory: 16MiB\n"
    "sources:\n"
    "  shop: {sqlite: batch.db}\n"
    "classes:\n"
    "  product:\n"
    "    key: 'product:{id}'\n"
    "    source: shop\n"
    "    query: \"SELECT CAST(:id AS INTEGER) AS id, 'product ' || :id AS name\"\n"
    "    one: true\n"
    "    ttl: 10m\n"
    "    batch:\n"
    "      by: id\n"
    "      query: \"SELECT CAST(value AS INTEGER) AS id, 'product ' || value AS name FROM "
    "json_each(:id)\"\n"
    "      max: 12\n"     // full, it goes to the database at once;
    "      wait: 1s\n"    // else so long after its first
    "loops: 1\n";         // each loop has batches of its own: for a result that is always the same

enum { MOST = 24 };

// One page of products on its way. The answers come on threads of the engine, in any order.
typedef struct products {
    pthread_mutex_t lock;
    pthread_cond_t done;
    size_t left, found;
    char first[64];
} products;

typedef struct place {
    products *page;
    size_t index;
} place;

static void take_product(void *arg, int result, const fb_value *value, const fb_error *error) {
    place *one = arg;
    products *page = one->page;
    pthread_mutex_lock(&page->lock);
    if (result == FB_OK) {
        page->found++;
        if (one->index == 0) {  // lent: copied, not kept
            snprintf(page->first, sizeof page->first, "%.*s", (int)value->data.len,
                     value->data.ptr);
        }
    } else {
        fprintf(stderr, "product %zu: %s\n", one->index + 1,
                error != NULL ? error->text : fb_result_text(result));
    }
    if (--page->left == 0) {
        pthread_cond_signal(&page->done);
    }
    pthread_mutex_unlock(&page->lock);
}

static void fetch_page(fb_engine *engine, products *page, size_t count) {
    fb_request requests[MOST];
    fb_param ids[MOST];
    char texts[MOST][24];
    place places[MOST];
    void *args[MOST];
    for (size_t i = 0; i < count; i++) {
        int len = snprintf(texts[i], sizeof texts[i], "%zu", i + 1);
        ids[i] = (fb_param){FB_STR("id"), {texts[i], (size_t)len}};
        requests[i] = (fb_request){
            .class_name = FB_STR("product"), .params = &ids[i], .param_count = 1};
        places[i] = (place){page, i};
        args[i] = &places[i];
    }
    page->left = count;
    page->found = 0;
    fb_fetch_start_many(engine, requests, count, take_product, args);
    pthread_mutex_lock(&page->lock);
    while (page->left > 0) {
        pthread_cond_wait(&page->done, &page->lock);
    }
    pthread_mutex_unlock(&page->lock);
}

static const char *count_queries(fb_engine *engine, char text[32]) {
    fb_stats stats;
    if (fb_stats_read(engine, &stats) < 0) {
        return "?";
    }
    snprintf(text, 32, "%llu quer%s", (unsigned long long)stats.all.batches,
             stats.all.batches == 1 ? "y" : "ies");
    fb_stats_release(&stats);
    return text;
}

static void ignore(void *arg, const fb_value *value) {
    (void)arg;
    (void)value;
}

static int count_there(fb_engine *engine) {
    const fb_str keys[] = {FB_STR("product:1"), FB_STR("product:99"), FB_STR("product:2")};
    void *args[3] = {NULL};
    int results[3];
    fb_get_many(engine, keys, 3, ignore, args, results);
    return (results[0] == FB_OK) + (results[1] == FB_OK) + (results[2] == FB_OK);
}

int main(void) {
    fb_config *config = NULL;
    fb_engine *engine = NULL;
    fb_error error = {.text = "out of memory"};
    products page = {.lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};
    char text[32];
    FILE *file = fopen("batch.db", "a");
    if (file == NULL || fclose(file) != 0) {
        perror("batch.db");
        return 1;
    }
    if (fb_config_new(&config) < 0 ||
        fb_config_read(config, (fb_str){classes, sizeof classes - 1}, NULL, &error) < 0 ||
        fb_open(config, &engine, &error) < 0) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    fetch_page(engine, &page, 12);
    printf("%zu products, the first %s: %s\n", page.found, page.first, count_queries(engine, text));
    fetch_page(engine, &page, 12);
    printf("%zu products again: %s\n", page.found, count_queries(engine, text));
    fetch_page(engine, &page, 24);
    printf("%zu products: %s\n", page.found, count_queries(engine, text));
    printf("of 3 keys %d are there\n", count_there(engine));
    fb_close(engine, 1000);
    fb_config_free(config);
    return 0;
}
