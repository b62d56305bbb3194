// Idea: sorted boards of at most 256 items, and a sorted array of the boards' first ranks: a B-tree
// of two levels. A million jobs are 4,000 boards; finding one is a search in 64 KB of edges and one
// in 4 KB of board, where a tree of nodes would miss the processor's cache twenty times. Numbers
// ascend, so boards fill up to the end: a full last board is not split.
//
// Each board counts its items of each class, so that a reading of one class passes over the boards
// that have none.
//
// Invariants: no board is empty; edges[i].rank is the rank of the board's first item; within and
// over boards items ascend by (rank, name). Boards that become small are joined with their
// neighbour.

#include "queue/shelf.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"

enum { BOARD_MAX = 256, JOIN_MAX = 128, EDGES_MIN = 8 };

typedef struct board_item {
    uint64_t rank;
    void *item;
} board_item;

struct fb_shelf_board {
    uint16_t count;
    uint16_t classes[FB_SHELF_CLASSES];
    board_item items[BOARD_MAX];
};

typedef struct spot {
    size_t board, index;
    bool found;
} spot;

static int compare(const fb_shelf *shelf, const board_item *item, fb_shelf_key key) {
    if (item->rank != key.rank) {
        return item->rank < key.rank ? -1 : 1;
    }
    return shelf->kind->name_of == NULL
               ? 0 : fb_str_compare(shelf->kind->name_of(item->item), key.name);
}

// The last board that begins at or before the key; 0 where none does.
static size_t find_board(const fb_shelf *shelf, fb_shelf_key key) {
    size_t low = 0, high = shelf->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const fb_shelf_edge *edge = &shelf->edges[middle];
        bool after = edge->rank != key.rank ? edge->rank > key.rank
                                            : compare(shelf, &edge->board->items[0], key) > 0;
        if (after) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low > 0 ? low - 1 : 0;
}

// Where the key is, or where it would go.
static spot find(const fb_shelf *shelf, fb_shelf_key key) {
    spot at = {.board = find_board(shelf, key)};

    if (shelf->count == 0) {
        return at;
    }
    const fb_shelf_board *board = shelf->edges[at.board].board;
    size_t low = 0, high = board->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(shelf, &board->items[middle], key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    at.index = low;
    at.found = low < board->count && compare(shelf, &board->items[low], key) == 0;
    return at;
}

static void recount(const fb_shelf *shelf, fb_shelf_board *board) {
    memset(board->classes, 0, sizeof(board->classes));
    for (size_t i = 0; i < board->count; i++) {
        int shelf_class = shelf->kind->class_of(board->items[i].item);
        if (shelf_class >= 0) {
            board->classes[shelf_class]++;
        }
    }
}

// An empty board at this place among the boards.
static fb_shelf_board *add_board(fb_shelf *shelf, size_t place) {
    if (shelf->count == shelf->cap) {
        size_t cap = shelf->cap + shelf->cap / 2 + EDGES_MIN;
        fb_shelf_edge *edges = fb_mem_resize(shelf->edges, cap * sizeof(*edges));
        if (edges == NULL) {
            return NULL;
        }
        shelf->edges = edges;
        shelf->cap = cap;
    }
    fb_shelf_board *board = fb_mem_new(sizeof(*board));
    if (board == NULL) {
        return NULL;
    }
    board->count = 0;
    memset(board->classes, 0, sizeof(board->classes));
    memmove(shelf->edges + place + 1, shelf->edges + place,
            (shelf->count - place) * sizeof(*shelf->edges));
    shelf->edges[place] = (fb_shelf_edge){.board = board};
    shelf->count++;
    return board;
}

// A full board: the next one takes its upper half, or nothing where the item goes to the very end.
static int split(fb_shelf *shelf, spot *at) {
    fb_shelf_board *board = shelf->edges[at->board].board;
    bool end = at->board + 1 == shelf->count && at->index == board->count;
    fb_shelf_board *next = add_board(shelf, at->board + 1);

    if (next == NULL) {
        return FB_ENOMEM;
    }
    uint16_t rest = end ? board->count : BOARD_MAX / 2;
    next->count = (uint16_t)(board->count - rest);
    memcpy(next->items, board->items + rest, next->count * sizeof(*next->items));
    board->count = rest;
    if (!end) {
        shelf->edges[at->board + 1].rank = next->items[0].rank;
        recount(shelf, board);
        recount(shelf, next);
    }
    if (at->index >= rest) {
        at->board++;
        at->index -= rest;
    }
    return FB_OK;
}

static void drop_board(fb_shelf *shelf, size_t place) {
    fb_mem_free(shelf->edges[place].board);
    shelf->count--;
    memmove(shelf->edges + place, shelf->edges + place + 1,
            (shelf->count - place) * sizeof(*shelf->edges));
}

// The board at `place` takes the items of the next one, where both are small.
static void join(fb_shelf *shelf, size_t place) {
    if (place + 1 >= shelf->count) {
        return;
    }
    fb_shelf_board *board = shelf->edges[place].board, *next = shelf->edges[place + 1].board;
    if (board->count + next->count > JOIN_MAX) {
        return;
    }
    memcpy(board->items + board->count, next->items, next->count * sizeof(*next->items));
    board->count = (uint16_t)(board->count + next->count);
    for (size_t i = 0; i < FB_SHELF_CLASSES; i++) {
        board->classes[i] = (uint16_t)(board->classes[i] + next->classes[i]);
    }
    drop_board(shelf, place + 1);
}

fb_shelf_key fb_shelf_named(fb_str name) {
    fb_shelf_key key = {.name = name};

    for (size_t i = 0; i < sizeof(key.rank); i++) {
        key.rank = key.rank << 8 | (i < name.len ? (unsigned char)name.ptr[i] : 0);
    }
    return key;
}

void fb_shelf_release(fb_shelf *shelf) {
    for (size_t i = 0; i < shelf->count; i++) {
        fb_mem_free(shelf->edges[i].board);
    }
    fb_mem_free(shelf->edges);
    *shelf = (fb_shelf){.kind = shelf->kind};
}

void *fb_shelf_get(const fb_shelf *shelf, fb_shelf_key key) {
    spot at = find(shelf, key);

    return at.found ? shelf->edges[at.board].board->items[at.index].item : NULL;
}

int fb_shelf_add(fb_shelf *shelf, fb_shelf_key key, void *item) {
    spot at = find(shelf, key);

    FB_ASSERT(!at.found);
    if (shelf->count == 0) {
        if (add_board(shelf, 0) == NULL) {
            return FB_ENOMEM;
        }
    } else if (shelf->edges[at.board].board->count == BOARD_MAX) {
        int result = split(shelf, &at);
        if (result != FB_OK) {
            return result;
        }
    }
    fb_shelf_board *board = shelf->edges[at.board].board;
    memmove(board->items + at.index + 1, board->items + at.index,
            (board->count - at.index) * sizeof(*board->items));
    board->items[at.index] = (board_item){key.rank, item};
    board->count++;
    shelf->edges[at.board].rank = board->items[0].rank;
    return FB_OK;
}

void fb_shelf_replace(fb_shelf *shelf, fb_shelf_key key, void *item) {
    spot at = find(shelf, key);

    FB_ASSERT(at.found);
    shelf->edges[at.board].board->items[at.index].item = item;
}

void fb_shelf_remove(fb_shelf *shelf, fb_shelf_key key) {
    spot at = find(shelf, key);

    FB_ASSERT(at.found);
    fb_shelf_board *board = shelf->edges[at.board].board;
    board->count--;
    memmove(board->items + at.index, board->items + at.index + 1,
            (board->count - at.index) * sizeof(*board->items));
    if (board->count == 0) {
        drop_board(shelf, at.board);
        return;
    }
    shelf->edges[at.board].rank = board->items[0].rank;
    if (board->count <= JOIN_MAX / 2) {
        join(shelf, at.board);
        if (at.board > 0) {
            join(shelf, at.board - 1);
        }
    }
}

void fb_shelf_enter(fb_shelf *shelf, fb_shelf_key key, int shelf_class) {
    spot at = find(shelf, key);

    FB_ASSERT(at.found && shelf_class >= 0 && shelf_class < FB_SHELF_CLASSES);
    shelf->edges[at.board].board->classes[shelf_class]++;
}

void fb_shelf_leave(fb_shelf *shelf, fb_shelf_key key, int shelf_class) {
    spot at = find(shelf, key);

    FB_ASSERT(at.found && shelf_class >= 0 && shelf_class < FB_SHELF_CLASSES);
    FB_ASSERT(shelf->edges[at.board].board->classes[shelf_class] > 0);
    shelf->edges[at.board].board->classes[shelf_class]--;
}

// Whether a board has something of this class.
static bool has(const fb_shelf_board *board, int shelf_class) {
    if (shelf_class != FB_SHELF_ANY) {
        return board->classes[shelf_class] > 0;
    }
    for (size_t i = 0; i < FB_SHELF_CLASSES; i++) {
        if (board->classes[i] > 0) {
            return true;
        }
    }
    return false;
}

void *fb_shelf_next(const fb_shelf *shelf, fb_shelf_key key, int shelf_class) {
    spot at = find(shelf, key);

    FB_ASSERT(shelf_class >= FB_SHELF_ANY && shelf_class < FB_SHELF_CLASSES);
    at.index += at.found;
    for (; at.board < shelf->count; at.board++, at.index = 0) {
        const fb_shelf_board *board = shelf->edges[at.board].board;
        if (!has(board, shelf_class)) {
            continue;
        }
        for (; at.index < board->count; at.index++) {
            void *item = board->items[at.index].item;
            int its_class = shelf->kind->class_of(item);
            if (its_class >= 0 && (shelf_class == FB_SHELF_ANY || shelf_class == its_class)) {
                return item;
            }
        }
    }
    return NULL;
}

void *fb_shelf_each(const fb_shelf *shelf, fb_shelf_place *place) {
    if (place->board < shelf->count && place->index == shelf->edges[place->board].board->count) {
        place->board++;
        place->index = 0;
    }
    return place->board < shelf->count
               ? shelf->edges[place->board].board->items[place->index++].item : NULL;
}

size_t fb_shelf_bytes(const fb_shelf *shelf) {
    return shelf->cap * sizeof(*shelf->edges) + shelf->count * sizeof(fb_shelf_board);
}

void fb_shelf_check(const fb_shelf *shelf) {
    const board_item *last = NULL;

    for (size_t i = 0; i < shelf->count; i++) {
        const fb_shelf_board *board = shelf->edges[i].board;
        fb_shelf_board counted = *board;
        FB_ASSERT(board->count > 0 && board->count <= BOARD_MAX);
        FB_ASSERT(shelf->edges[i].rank == board->items[0].rank);
        recount(shelf, &counted);
        FB_ASSERT(memcmp(counted.classes, board->classes, sizeof(board->classes)) == 0);
        for (size_t at = 0; at < board->count; at++) {
            const board_item *item = &board->items[at];
            fb_shelf_key key = {item->rank, {NULL, 0}};
            if (shelf->kind->name_of != NULL) {
                key.name = shelf->kind->name_of(item->item);
            }
            FB_ASSERT(last == NULL || compare(shelf, last, key) < 0);
            last = item;
        }
    }
}
