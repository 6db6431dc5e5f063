/* kernels.h -- what every kernel file includes. Each file is compiled once per instruction set with RL_ISA=baseline,
 * avx2 or avx512, and ISA(name) gives its functions the names rl_<name>_<isa>. Plain loops, vectorised by the compiler:
 * `omp simd` says that a loop has no order to keep, sums included, so a sum's order is the compiled code's: fixed. */
#ifndef RELEARN_LINALG_KERNELS_H
#define RELEARN_LINALG_KERNELS_H

#include "linalg_internal.h"

#define RL_JOIN_EXPANDED(name, isa) name##_##isa
#define RL_JOIN(name, isa) RL_JOIN_EXPANDED(name, isa)
#define RL_TEXT_EXPANDED(text) #text
#define RL_TEXT(text) RL_TEXT_EXPANDED(text)
#define ISA(name) RL_JOIN(rl_##name, RL_ISA)

#define RL_KERNEL_PROTOTYPE(result, name, arguments) result ISA(name) arguments;
RL_KERNEL_LIST(RL_KERNEL_PROTOTYPE)

/* A constant-size helper that must melt into its caller's vector loop. */
#if defined(__GNUC__)
#define RL_INLINE static inline __attribute__((always_inline))
#else
#define RL_INLINE static inline
#endif

#endif
