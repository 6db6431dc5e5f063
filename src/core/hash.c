/* hash.c -- content hashes for stage keys and record checksums (XXH3, canonical byte order). */
#include "relearn/core.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

/* Settings are the same few numbers in every key, and %.17g is slow. */
enum { NUM_REALS = 32 };
typedef struct real_text {
    uint64_t bits;
    int length; /* 0: unused */
    char text[28];
} real_text;

struct rl_hash {
    XXH3_state_t *state;
    real_text reals[NUM_REALS]; /* by a hash of their bits */
};

rl_status rl_hash_create(rl_hash **out, rl_error *err)
{
    rl_hash *hash = rl_calloc(1, sizeof *hash, err);
    if (!hash) return RL_ERR_MEMORY;
    hash->state = XXH3_createState();
    if (!hash->state) {
        rl_free(hash);
        return rl_fail(err, RL_ERR_MEMORY, "out of memory for a hash state");
    }
    XXH3_128bits_reset(hash->state);
    *out = hash;
    return RL_OK;
}

void rl_hash_restart(rl_hash *hash) { XXH3_128bits_reset(hash->state); }

/* A tag and the length first, so that field boundaries are part of the content. */
static void field(rl_hash *hash, char tag, const void *bytes, size_t length)
{
    char head[9] = {tag};
    for (int i = 0; i < 8; i++) head[1 + i] = (char)((uint64_t)length >> (8 * i));
    XXH3_128bits_update(hash->state, head, sizeof head);
    if (length) XXH3_128bits_update(hash->state, bytes, length);
}

void rl_hash_bytes(rl_hash *hash, const void *bytes, size_t length) { field(hash, 'b', bytes, length); }
void rl_hash_text(rl_hash *hash, const char *text) { field(hash, 't', text, strlen(text)); }

/* As printf's %lld, by hand: a plan of 10,000 runs hashes millions of numbers. Returns where the text begins. */
static const char *decimal(char text[24], int64_t value, size_t *length)
{
    char *at = text + 24;
    uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do *--at = (char)('0' + left % 10);
    while (left /= 10);
    if (value < 0) *--at = '-';
    *length = (size_t)(text + 24 - at);
    return at;
}

void rl_hash_int(rl_hash *hash, int64_t value)
{
    char text[24];
    size_t length;
    const char *start = decimal(text, value, &length);
    field(hash, 'i', start, length);
}

static const real_text *text_of(rl_hash *hash, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    real_text *known = &hash->reals[(bits * 0x9E3779B97F4A7C15u) >> 59];
    if (known->length && known->bits == bits) return known;
    known->bits = bits;
    known->length = snprintf(known->text, sizeof known->text, "%.17g", value);
    return known;
}

/* As printf's %.17g, which writes small whole numbers as integers ("-0" excepted). */
void rl_hash_real(rl_hash *hash, double value)
{
    char text[24];
    if (value > -1e15 && value < 1e15 && value == (double)(int64_t)value && (value != 0 || !signbit(value))) {
        size_t length;
        const char *start = decimal(text, (int64_t)value, &length);
        field(hash, 'r', start, length);
        return;
    }
    const real_text *known = text_of(hash, value);
    field(hash, 'r', known->text, (size_t)known->length);
}

static void print_hex(char *to, uint64_t value)
{
    for (int i = 15; i >= 0; i--, value >>= 4) to[i] = "0123456789abcdef"[value & 15];
}

static void print_digest(XXH128_hash_t value, char hex[RL_DIGEST_HEX])
{
    print_hex(hex, value.high64);
    print_hex(hex + 16, value.low64);
    hex[32] = '\0';
}

void rl_hash_digest(const rl_hash *hash, char hex[RL_DIGEST_HEX]) { print_digest(XXH3_128bits_digest(hash->state), hex); }

void rl_hash_free(rl_hash *hash)
{
    if (!hash) return;
    XXH3_freeState(hash->state);
    rl_free(hash);
}

uint64_t rl_hash64(const void *bytes, size_t length) { return XXH3_64bits(bytes, length); }

rl_status rl_hash_file(const char *path, char hex[RL_DIGEST_HEX], rl_error *err)
{
    rl_file_view view = {0};
    rl_status status = rl_file_view_open(&view, path, err);
    if (status != RL_OK) return status;
    print_digest(XXH3_128bits(view.data, view.size), hex);
    rl_file_view_close(&view);
    return RL_OK;
}
