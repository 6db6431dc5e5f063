/* table.c -- this instruction set's kernels as one table. */
#include "kernels.h"

#define RL_KERNEL_ENTRY(result, name, arguments) .name = ISA(name),
const rl_kernels ISA(kernels) = {.isa = RL_TEXT(RL_ISA), RL_KERNEL_LIST(RL_KERNEL_ENTRY)};
