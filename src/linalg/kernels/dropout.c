/* dropout.c -- Philox4x32-10, many blocks side by side, as dropout factors.
 * Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11; rl_philox4x32 of core is the reference.
 * Element e: lane e mod 4 of block e / 4; counter (low word, high word of the block, step, stream). */
#include "dropout.h"
#include "vector.h"

#define GROUP (2 * RL_WORDS) /* blocks side by side: two registers hide the latency of the multiplication */
#define PHILOX_BLOCKS (RL_DROPOUT_CHUNK / 4 + 1)

typedef struct philox_bits {
    uint32_t lane[4][PHILOX_BLOCKS + GROUP];
} philox_bits;

/* One block in each 64-bit word; the upper halves hold rubbish that neither the product nor the result looks at. */
typedef struct philox_counter {
    words c0, c1, c2, c3;
} philox_counter;

RL_INLINE philox_counter philox_round(philox_counter c, uint32_t key0, uint32_t key1)
{
    const words zero = {0};
    words product0 = multiply_low_halves(c.c0, zero + 0xD2511F53u);
    words product1 = multiply_low_halves(c.c2, zero + 0xCD9E8D57u);
    return (philox_counter){(product1 >> 32) ^ c.c1 ^ key0, product1, (product0 >> 32) ^ c.c3 ^ key1, product0};
}

RL_INLINE void philox_store(philox_bits *bits, int at, philox_counter c)
{
    for (int i = 0; i < RL_WORDS; i++) {
        bits->lane[0][at + i] = (uint32_t)c.c0[i];
        bits->lane[1][at + i] = (uint32_t)c.c1[i];
        bits->lane[2][at + i] = (uint32_t)c.c2[i];
        bits->lane[3][at + i] = (uint32_t)c.c3[i];
    }
}

/* Writes up to GROUP - 1 blocks too many, which `bits` has room for. */
static void philox_blocks(philox_bits *restrict bits, uint64_t first_block, int num_blocks, const rl_dropout *dropout)
{
    const words zero = {0};
    words count = {0};
    for (int i = 0; i < RL_WORDS; i++) count[i] = (uint64_t)i;
    for (int at = 0; at < num_blocks; at += GROUP) {
        words block = count + (first_block + (uint64_t)at), next = block + RL_WORDS;
        philox_counter a = {block, block >> 32, zero + dropout->step, zero + dropout->stream};
        philox_counter b = {next, next >> 32, a.c2, a.c3};
        uint32_t key0 = dropout->key[0], key1 = dropout->key[1];
        // NOLINTNEXTLINE(bugprone-infinite-loop): clang-tidy 14 loses sight of `round` behind the vector types
        for (int round = 0; round < 10; round++, key0 += 0x9E3779B9u, key1 += 0xBB67AE85u) {
            a = philox_round(a, key0, key1);
            b = philox_round(b, key0, key1);
        }
        philox_store(bits, at, a);
        philox_store(bits, at + RL_WORDS, b);
    }
}

const float *ISA(dropout_factors)(dropout_chunk *chunk, uint64_t first, int64_t n, const rl_dropout *dropout)
{
    philox_bits bits;
    int skipped = (int)(first % 4), num_blocks = (int)((n + skipped + 3) / 4);
    /* bits < p * 2^32 drops: with p * 2^32 rounded up that is an integer comparison. p >= 1 drops everything. */
    double limit = (double)dropout->p * 4294967296.0;
    uint32_t threshold = limit >= 4294967295.0 ? UINT32_MAX : (uint32_t)limit + ((double)(uint32_t)limit < limit);
    float kept = dropout->p >= 1.0f ? 0.0f : 1.0f / (1.0f - dropout->p);
    philox_blocks(&bits, first / 4, num_blocks, dropout);
#pragma omp simd
    for (int i = 0; i < num_blocks; i++) {
        chunk->factors[4 * i] = bits.lane[0][i] < threshold ? 0.0f : kept;
        chunk->factors[4 * i + 1] = bits.lane[1][i] < threshold ? 0.0f : kept;
        chunk->factors[4 * i + 2] = bits.lane[2][i] < threshold ? 0.0f : kept;
        chunk->factors[4 * i + 3] = bits.lane[3][i] < threshold ? 0.0f : kept;
    }
    return chunk->factors + skipped;
}

/* A product, not a choice: NaN times 0 stays NaN, as in torch. */
void ISA(dropout_at)(float *y, const float *x, uint64_t first, int64_t n, rl_dropout dropout)
{
    dropout_chunk chunk;
    if (!(dropout.p > 0.0f)) {
        if (y != x) memmove(y, x, (size_t)n * sizeof *x);
        return;
    }
    for (int64_t at = 0; at < n; at += RL_DROPOUT_CHUNK) {
        int64_t count = n - at < RL_DROPOUT_CHUNK ? n - at : RL_DROPOUT_CHUNK;
        const float *factors = ISA(dropout_factors)(&chunk, first + (uint64_t)at, count, &dropout);
        const float *from = x + at;
        float *to = y + at;
#pragma omp simd
        for (int64_t i = 0; i < count; i++) to[i] = from[i] * factors[i];
    }
}
