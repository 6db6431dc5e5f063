/* rates.c -- the numbers of one AdamW step that every weight shares. In double once, so that no kernel repeats it. */
#include "linalg_internal.h"

#include <math.h>

rl_adamw_rates rl_adamw_rates_of(rl_adamw s)
{
    double b1 = 1.0 - pow(s.beta1, (double)s.step), b2 = 1.0 - pow(s.beta2, (double)s.step);
    if (s.variant == RL_ADAMW_TORCH)
        return (rl_adamw_rates){.decay = (float)(1.0 - s.learning_rate * s.weight_decay),
                                .rate = (float)(s.learning_rate / b1),
                                .correction = (float)(1.0 / sqrt(b2))};
    return (rl_adamw_rates){.decay = (float)(s.learning_rate * s.weight_decay),
                            .rate = (float)(s.learning_rate * sqrt(b2) / b1)};
}
