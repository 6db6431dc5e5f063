/* profile.h -- where the time of a pass goes, by class of kernel, seen from outside linalg.
 *
 * In programs that name this file in bench/CMakeLists.txt the linker's --wrap puts a clock around every public pass of
 * relearn/linalg.h, so the library has neither hook nor branch and costs the same with and without. Only what the
 * profiling thread calls is counted: a pass that threads share counts once, by the time it took. */
#ifndef RELEARN_BENCH_PROFILE_H
#define RELEARN_BENCH_PROFILE_H

#include "relearn/core.h"

typedef enum kernel_class {
    CLASS_GEMM,
    CLASS_ATTENTION,
    CLASS_NORMS, /* residual, LayerNorm */
    CLASS_GELU,
    CLASS_DROPOUT,
    CLASS_OPTIMIZER, /* AdamW, gradient norm */
    CLASS_EMBEDDINGS,
    CLASS_BIAS_SUMS, /* gradients of biases */
    CLASS_LOSS,
    CLASS_OTHER, /* everything between the passes */
    NUM_CLASSES
} kernel_class;
extern const char *const class_names[NUM_CLASSES];

typedef struct profile {
    bool cpu_time; /* of this thread, which another process's work does not lengthen; else wall time */
    double began, seconds[NUM_CLASSES], optimizer_bytes;
} profile;

/* Between the two, passes called by this thread are counted into *p, which must live that long. */
void profile_begin(profile *p, bool cpu_time);
/* CLASS_OTHER becomes what is left of the whole. Returns the whole in seconds. */
double profile_end(void);

/* Dropout works inside attention and norms too: its whole cost is what the same passes take less without it. Moves that
 * difference from the classes of `with` to CLASS_DROPOUT; the sum stays. */
void profile_separate_dropout(profile *with, const profile *without);

/* "shares":{...},"outside_gemm":x -- members of a JSON object. */
void profile_print(const profile *p, double whole);
/* Classes that an eval pass has (training: all) must have been seen: a clock that came off is RL_ERR_INTERNAL. */
rl_status profile_check(const profile *p, bool training, rl_error *err);

#endif
