/* vector_math.h -- exp and erf as straight-line code, so that loops over them vectorise on every instruction set.
 * No table, no branch, no libm. Coefficients: fit_vector_math.py beside this file. Tested to 4 ulp against double libm.
 */
#ifndef RELEARN_LINALG_VECTOR_MATH_H
#define RELEARN_LINALG_VECTOR_MATH_H

#include "kernels.h"

#include <string.h>

RL_INLINE uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

RL_INLINE float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

RL_INLINE float absolute(float x)
{
    return float_of(bits_of(x) & 0x7fffffffu);
}

RL_INLINE float with_sign_of(float magnitude, float sign)
{
    return float_of(bits_of(magnitude) | (bits_of(sign) & 0x80000000u));
}

/* e^x = 2^k e^r, k = round(x / ln 2). Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits. 2^k is
 * applied in two halves, so results below FLT_MIN round once and those above FLT_MAX become inf. NaN passes both
 * clamps. */
RL_INLINE float exp_one(float x)
{
    const float round_to_integer = 12582912.0f, ln2_high = 0.693145752f /* 15 bits: k * ln2_high is exact */,
                ln2_low = 1.42860677e-6f;
    float clamped = x < -104.0f ? -104.0f : x;
    clamped = clamped > 89.0f ? 89.0f : clamped;
    float shifted = clamped * 1.44269504f + round_to_integer;
    float k = shifted - round_to_integer;
    float r = (clamped - k * ln2_high) - k * ln2_low;
    float p = 0.00138145406f;
    p = p * r + 0.00836874545f;
    p = p * r + 0.041668389f;
    p = p * r + 0.166665211f;
    p = p * r + 0.49999994f;
    p = (p * r * r + r) + 1.0f;
    uint32_t biased = bits_of(shifted) - bits_of(round_to_integer) + 256u; /* k + 256: 106..384 */
    uint32_t half = biased >> 1;
    return p * float_of((half - 1u) << 23) * float_of((biased - half - 1u) << 23); /* (half - 128) + 127 */
}

/* e^(t^2) erfc(t) for t >= 0, to 2e-8 up to t = 10.5; beyond that e^(-t^2) is 0 in float32 and this merely finite. */
RL_INLINE float erfcx_one(float t)
{
    float u = 1.0f / (1.0f + 0.3f * t);
    float p = -0.129554033f;
    p = p * u + 0.485726744f;
    p = p * u - 0.512646317f;
    p = p * u + 0.548183501f;
    p = p * u - 0.0950069427f;
    p = p * u + 0.215096951f;
    p = p * u + 0.148289278f;
    p = p * u + 0.170723319f;
    p = p * u + 0.169187441f;
    return p * u;
}

/* Near 0 an odd series keeps the relative accuracy that 1 - erfc would lose. */
RL_INLINE float erf_one(float x)
{
    float t = absolute(x), z = x * x;
    float p = -0.000674952695f;
    p = p * z + 0.00511434767f;
    p = p * z - 0.0268346258f;
    p = p * z + 0.112833768f;
    p = p * z - 0.3761262f;
    p = p * z + 0.128379166f;
    float far = with_sign_of(1.0f - exp_one(-z) * erfcx_one(t), x);
    return t <= 0.75f ? x + x * p : far;
}

#endif
