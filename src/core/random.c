/* random.c -- numbers as pure functions of their coordinates (Philox), and torch's randperm for HF's batch order. */
#include "relearn/core.h"

#include <math.h>

/* Source: Salmon, Moraes, Dror, Shaw: Parallel Random Numbers: As Easy as 1, 2, 3 (SC'11); known answers of Random123's
 * kat_vectors are in tests/core/test_random.c. */
void rl_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

void rl_rng_key(uint64_t seed, rl_purpose purpose, uint32_t key[2])
{
    const uint32_t counter[4] = {(uint32_t)seed, (uint32_t)(seed >> 32), (uint32_t)purpose, 0};
    const uint32_t fixed[2] = {0x72656C65u, 0x61726E31u}; /* "relearn1" */
    uint32_t out[4];
    rl_philox4x32(counter, fixed, out);
    key[0] = out[0];
    key[1] = out[1];
}

static void block(uint64_t seed, rl_purpose purpose, uint32_t a, uint32_t b, uint64_t block_index, uint32_t out[4])
{
    uint32_t key[2];
    const uint32_t counter[4] = {(uint32_t)block_index, (uint32_t)(block_index >> 32), a, b};
    rl_rng_key(seed, purpose, key);
    rl_philox4x32(counter, key, out);
}

uint32_t rl_rng_bits(uint64_t seed, rl_purpose purpose, uint32_t a, uint32_t b, uint64_t index)
{
    uint32_t out[4];
    block(seed, purpose, a, b, index / 4, out);
    return out[index % 4];
}

double rl_rng_uniform(uint64_t seed, rl_purpose purpose, uint32_t a, uint32_t b, uint64_t index)
{
    return ((double)rl_rng_bits(seed, purpose, a, b, index) + 0.5) * 0x1p-32;
}

double rl_rng_normal(uint64_t seed, rl_purpose purpose, uint32_t a, uint32_t b, uint64_t index)
{
    uint32_t out[4]; /* two normals a block: index / 2 picks the block, its parity the cosine or the sine */
    block(seed, purpose, a, b, index / 2, out);
    double u = ((double)out[0] + 0.5) * 0x1p-32, v = ((double)out[1] + 0.5) * 0x1p-32;
    double radius = sqrt(-2.0 * log(u)), angle = 6.283185307179586476925 * v;
    return radius * (index % 2 ? sin(angle) : cos(angle));
}

rl_status rl_rng_choose(uint64_t seed, rl_purpose purpose, uint32_t a, uint32_t b, int64_t n, int64_t num_chosen,
                        int64_t *chosen, rl_error *err)
{
    if (num_chosen < 0 || num_chosen > n)
        return rl_fail(err, RL_ERR_INTERNAL, "cannot choose %lld of %lld", (long long)num_chosen, (long long)n);
    int64_t *pool = rl_calloc((size_t)n, sizeof *pool, err);
    if (!pool) return RL_ERR_MEMORY;
    for (int64_t i = 0; i < n; i++) pool[i] = i;
    for (int64_t i = 0; i < num_chosen; i++) {
        int64_t j = i + (int64_t)(rl_rng_uniform(seed, purpose, a, b, (uint64_t)i) * (double)(n - i));
        int64_t picked = pool[j];
        pool[j] = pool[i];
        chosen[i] = picked;
    }
    rl_free(pool);
    return RL_OK;
}

/* Source: Matsumoto & Nishimura, mt19937ar.c (2002). */
void rl_mt19937_seed(rl_mt19937 *generator, uint32_t seed)
{
    generator->state[0] = seed;
    for (uint32_t i = 1; i < 624; i++) {
        uint32_t previous = generator->state[i - 1];
        generator->state[i] = 1812433253u * (previous ^ (previous >> 30)) + i;
    }
    generator->position = 624;
}

static void refill(uint32_t s[624])
{
    for (int i = 0; i < 624; i++) {
        uint32_t y = (s[i] & 0x80000000u) | (s[(i + 1) % 624] & 0x7fffffffu);
        s[i] = s[(i + 397) % 624] ^ (y >> 1) ^ ((y & 1) ? 0x9908b0dfu : 0);
    }
}

uint32_t rl_mt19937_next(rl_mt19937 *generator)
{
    if (generator->position == 624) {
        refill(generator->state);
        generator->position = 0;
    }
    uint32_t y = generator->state[generator->position++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

void rl_mt19937_randperm(rl_mt19937 *generator, int64_t n, int64_t *permutation)
{
    for (int64_t i = 0; i < n; i++) permutation[i] = i;
    for (int64_t i = 0; i + 1 < n; i++) {
        int64_t j = i + (int64_t)(rl_mt19937_next(generator) % (uint64_t)(n - i)), kept = permutation[i];
        permutation[i] = permutation[j];
        permutation[j] = kept;
    }
}
