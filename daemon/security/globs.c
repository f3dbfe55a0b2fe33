/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The trie: nodes in one array, children of a node found by number. Literal children are sorted for a binary
 * search; those with a `*` are tried one by one.
 */
#include "security/globs.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>

#include "base/percent.h"
#include "base/util.h"

/* Longer segments cannot come: Uri-Path is at most 255 bytes (RFC 7252, 5.10). */
#define SEGMENT_MAX 255

enum node_kind { NODE_LITERAL, NODE_GLOB, NODE_ANY };

struct node {
        struct span segment; /* as in the config */
        enum node_kind kind;
        uint32_t parent;
        uint32_t *literals; /* children, sorted by segment */
        uint64_t *keys;     /* of these: key_of() */
        uint32_t n_literals;
        uint32_t *globs; /* children with a `*` */
        uint32_t n_globs;
        uint32_t any;                    /* the child `**`; 0: there is none */
        uint32_t first[GLOBS_N_METHODS]; /* rules whose glob ends here */
};

/* A walk's scratch: two sets of nodes, and per node the step at which it was put into one. */
struct walk {
        uint32_t *now, *next;
        size_t n_now, n_next;
        uint64_t *stamps;
        uint64_t step;
};

struct globs {
        struct node *nodes;
        size_t n_nodes;
        struct walk *walk; /* apart, so that a const globs can walk */
};

static uint32_t add_node(struct globs *globs, uint32_t parent, enum node_kind kind, struct span segment)
{
        struct node *nodes = reallocarray(globs->nodes, globs->n_nodes + 1, sizeof(*nodes));

        if (!nodes)
                return UINT32_MAX;
        globs->nodes = nodes;
        nodes[globs->n_nodes] = (struct node){ .segment = segment, .kind = kind, .parent = parent };
        for (size_t i = 0; i < GLOBS_N_METHODS; i++)
                nodes[globs->n_nodes].first[i] = GLOBS_NO_RULE;
        return (uint32_t)globs->n_nodes++;
}

struct globs *globs_new(void)
{
        struct globs *globs = calloc(1, sizeof(*globs));

        if (globs && add_node(globs, 0, NODE_LITERAL, span_of(NULL, 0)) == UINT32_MAX) {
                free(globs);
                return NULL;
        }
        return globs;
}

void globs_free(struct globs *globs)
{
        if (!globs)
                return;
        for (size_t i = 0; i < globs->n_nodes; i++) {
                free(globs->nodes[i].literals);
                free(globs->nodes[i].keys);
                free(globs->nodes[i].globs);
        }
        if (globs->walk) {
                free(globs->walk->now);
                free(globs->walk->next);
                free(globs->walk->stamps);
                free(globs->walk);
        }
        free(globs->nodes);
        free(globs);
}

static enum node_kind segment_kind(struct span segment)
{
        if (span_equal(segment, SPAN_LITERAL("**")))
                return NODE_ANY;
        return segment.n && memchr(segment.p, '*', segment.n) ? NODE_GLOB : NODE_LITERAL;
}

const char *globs_check(const char *glob)
{
        static const char expected[] = "a path such as \"/sensors/**\" or \"/rooms/*/light\"";
        struct span rest = span_of_string(glob);

        if (rest.n == 0 || rest.p[0] != '/')
                return expected;
        rest = span_skip(rest, 1);
        while (rest.n) {
                struct span segment = span_cut(&rest, '/');

                if (segment.n > SEGMENT_MAX)
                        return "segments of at most 255 bytes (RFC 7252, 5.10)";
                if (segment_kind(segment) == NODE_GLOB && memmem(segment.p, segment.n, "**", 2))
                        return "\"**\" as a segment of its own, \"*\" within one";
        }
        return NULL;
}

static int add_child(uint32_t **list, uint32_t *n, uint32_t child)
{
        uint32_t *grown = reallocarray(*list, *n + 1, sizeof(**list));

        if (!grown)
                return -ENOMEM;
        grown[(*n)++] = child;
        *list = grown;
        return 0;
}

static int add_literal(struct node *node, uint32_t child, uint64_t key, uint32_t at)
{
        uint64_t *keys = reallocarray(node->keys, node->n_literals + 1, sizeof(key));
        size_t behind = node->n_literals - at;

        if (!keys)
                return -ENOMEM;
        node->keys = keys;
        if (add_child(&node->literals, &node->n_literals, child) < 0)
                return -ENOMEM;
        memmove(node->literals + at + 1, node->literals + at, behind * sizeof(child));
        memmove(keys + at + 1, keys + at, behind * sizeof(key));
        node->literals[at] = child;
        keys[at] = key;
        return 0;
}

static int compare_spans(struct span a, struct span b)
{
        int order = memcmp(a.n ? a.p : (const uint8_t *)"", b.n ? b.p : (const uint8_t *)"", MIN(a.n, b.n));

        return order ? order : (a.n > b.n) - (a.n < b.n);
}

/* Its first bytes as a number: where two of these differ they are in the order of their segments. */
static uint64_t key_of(struct span segment)
{
        uint8_t bytes[sizeof(uint64_t)] = { 0 };
        uint64_t key;

        memcpy(bytes, segment.n ? segment.p : bytes, MIN(segment.n, sizeof(bytes)));
        memcpy(&key, bytes, sizeof(key));
        return be64toh(key);
}

/* The first whose key is not lower. Most walks end here: the literal is not there. */
static uint32_t find_key(const struct node *node, uint64_t key)
{
        uint32_t low = 0;

        for (uint32_t n = node->n_literals; n > 0;) {
                uint32_t half = n / 2;
                bool is_lower = node->keys[low + half] < key;

                low = is_lower ? low + half + 1 : low;
                n = is_lower ? n - half - 1 : half;
        }
        return low;
}

/* The index in `literals` at which the segment is, or would be. */
static uint32_t find_literal(const struct globs *globs, const struct node *node, struct span segment,
                             uint64_t key, bool *ret_found)
{
        uint32_t low = find_key(node, key), high = node->n_literals;

        *ret_found = false;
        if (low < high && node->keys[low] != key)
                return low;
        while (low < high) {
                uint32_t middle = low + (high - low) / 2;
                int order = node->keys[middle] > key;

                if (order == 0)
                        order = compare_spans(globs->nodes[node->literals[middle]].segment, segment);
                if (order == 0) {
                        *ret_found = true;
                        return middle;
                }
                if (order < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

/* The child of `parent` for a segment of a glob, made when there is none. UINT32_MAX: no memory. */
static uint32_t child_for(struct globs *globs, uint32_t parent, struct span segment)
{
        enum node_kind kind = segment_kind(segment);
        struct node *node = &globs->nodes[parent];
        uint64_t key = key_of(segment);
        uint32_t child, at = 0;
        bool found;

        if (kind == NODE_LITERAL) {
                at = find_literal(globs, node, segment, key, &found);
                if (found)
                        return node->literals[at];
        }
        if (kind == NODE_ANY && node->any)
                return node->any;
        for (uint32_t i = 0; kind == NODE_GLOB && i < node->n_globs; i++) {
                if (span_equal(globs->nodes[node->globs[i]].segment, segment))
                        return node->globs[i];
        }
        child = add_node(globs, parent, kind, segment);
        if (child == UINT32_MAX)
                return UINT32_MAX;
        node = &globs->nodes[parent];
        if (kind == NODE_ANY)
                return node->any = child;
        if (kind == NODE_GLOB)
                return add_child(&node->globs, &node->n_globs, child) < 0 ? UINT32_MAX : child;
        return add_literal(node, child, key, at) < 0 ? UINT32_MAX : child;
}

int globs_add(struct globs *globs, const char *glob, unsigned methods, uint32_t rule)
{
        struct span rest = span_skip(span_of_string(glob), 1);
        bool trailing = rest.n && rest.p[rest.n - 1] == '/';
        uint32_t node = 0;

        assert(!globs_check(glob));
        while (rest.n || trailing) {
                trailing = rest.n > 0 && trailing; /* the empty segment behind a slash at the end */
                node = child_for(globs, node, span_cut(&rest, '/'));
                if (node == UINT32_MAX)
                        return -ENOMEM;
        }
        for (size_t i = 0; i < GLOBS_N_METHODS; i++) {
                if (methods & (1u << i))
                        globs->nodes[node].first[i] = MIN(globs->nodes[node].first[i], rule);
        }
        return 0;
}

int globs_finish(struct globs *globs)
{
        struct walk *walk = globs->walk = calloc(1, sizeof(*walk));

        if (!walk)
                return -ENOMEM;
        walk->now = calloc(globs->n_nodes, sizeof(*walk->now));
        walk->next = calloc(globs->n_nodes, sizeof(*walk->next));
        walk->stamps = calloc(globs->n_nodes, sizeof(*walk->stamps));
        return walk->now && walk->next && walk->stamps ? 0 : -ENOMEM;
}

/* Bytes of a percent-encoded segment; false when it is longer than a segment can be. */
static bool decode_segment(struct span in, uint8_t out[SEGMENT_MAX], struct span *ret_segment)
{
        if (in.n && memchr(in.p, '%', in.n))
                in = span_of(out, percent_decode(in, out, SEGMENT_MAX));
        *ret_segment = in;
        return in.n <= SEGMENT_MAX;
}

/* `*` against any run of bytes; after a mismatch only the last `*` is taken longer, so no blow-up. */
static bool glob_matches(struct span glob, struct span s)
{
        size_t g = 0, i = 0, star = SIZE_MAX, resume = 0;

        while (i < s.n) {
                if (g < glob.n && glob.p[g] == '*') {
                        star = g++;
                        resume = i;
                } else if (g < glob.n && glob.p[g] == s.p[i]) {
                        g++;
                        i++;
                } else if (star != SIZE_MAX) {
                        g = star + 1;
                        i = ++resume;
                } else {
                        return false;
                }
        }
        while (g < glob.n && glob.p[g] == '*')
                g++;
        return g == glob.n;
}

/* Puts a node into the next set, with the `**` below it: that also stands for no segment. */
static void enter(const struct globs *globs, struct walk *walk, uint32_t index)
{
        do {
                if (walk->stamps[index] == walk->step)
                        return;
                walk->stamps[index] = walk->step;
                walk->next[walk->n_next++] = index;
                index = globs->nodes[index].any;
        } while (index);
}

/* Of no segment yet: the root, and the `**` below it. */
static void begin(const struct globs *globs, struct walk *walk)
{
        uint32_t index = 0;

        walk->n_now = walk->n_next = 0;
        do {
                walk->now[walk->n_now++] = index;
                index = globs->nodes[index].any;
        } while (index);
        walk->step++;
}

static void advance(struct walk *walk)
{
        uint32_t *nodes = walk->now;

        walk->now = walk->next;
        walk->n_now = walk->n_next;
        walk->next = nodes;
        walk->n_next = 0;
        walk->step++;
}

static void step_from(const struct globs *globs, struct walk *walk, uint32_t index, struct span segment,
                      uint64_t key)
{
        const struct node *node = &globs->nodes[index];
        bool found = false;
        uint32_t at = node->n_literals ? find_literal(globs, node, segment, key, &found) : 0;

        if (found)
                enter(globs, walk, node->literals[at]);
        if (node->kind == NODE_ANY)
                enter(globs, walk, index);
        for (uint32_t i = 0; i < node->n_globs; i++) {
                if (glob_matches(globs->nodes[node->globs[i]].segment, segment))
                        enter(globs, walk, node->globs[i]);
        }
}

/* The lowest rule of each of the methods, of all nodes that the walk has come to. */
static void collect(const struct globs *globs, unsigned methods, uint32_t first[GLOBS_N_METHODS])
{
        const struct walk *walk = globs->walk;

        for (; methods; methods &= methods - 1) {
                unsigned i = (unsigned)__builtin_ctz(methods);

                for (size_t n = 0; n < walk->n_now; n++)
                        first[i] = MIN(first[i], globs->nodes[walk->now[n]].first[i]);
        }
}

void globs_find(const struct globs *globs, struct span path, unsigned methods,
                uint32_t first[GLOBS_N_METHODS])
{
        struct walk *walk = globs->walk;
        bool trailing = path.n && path.p[path.n - 1] == '/';

        for (size_t i = 0; i < GLOBS_N_METHODS; i++)
                first[i] = GLOBS_NO_RULE;
        begin(globs, walk);
        while (path.n || trailing) {
                uint8_t bytes[SEGMENT_MAX];
                struct span segment;
                uint64_t key;

                trailing = path.n > 0 && trailing;
                if (!decode_segment(span_cut(&path, '/'), bytes, &segment))
                        return;
                key = key_of(segment);
                for (size_t i = 0; i < walk->n_now; i++)
                        step_from(globs, walk, walk->now[i], segment, key);
                advance(walk);
        }
        collect(globs, methods, first);
}
