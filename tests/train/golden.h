/* golden.h -- reading the trajectories that tools/goldens/train.py wrote, and holding ours against them. */
#ifndef RELEARN_TRAIN_GOLDEN_H
#define RELEARN_TRAIN_GOLDEN_H

#include "fixtures.h"

static inline json_t *read_golden(const char *name)
{
    char path[256];
    rl_error err = {0};
    json_t *root = NULL;
    snprintf(path, sizeof path, "golden/train/%s", name);
    assert_ok(rl_json_read(&root, support_file(path), &err), err);
    return root;
}

static inline double golden_number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_number(value)) fail_msg("the golden has no number %s", key);
    return json_number_value(value);
}

static inline double golden_at(const json_t *object, const char *key, int64_t i)
{
    const json_t *value = json_array_get(json_object_get(object, key), (size_t)i);
    if (!json_is_number(value)) fail_msg("the golden has no number %s[%d]", key, (int)i);
    return json_number_value(value);
}

/* Every step's loss and norm within 0.1 % (the bound), its learning rate to the golden's nine digits. */
static inline void assert_follows(const rl_training_log *log, const json_t *golden)
{
    double worst_loss = 0, worst_norm = 0;
    assert_int_equal(log->num_steps, json_array_size(json_object_get(golden, "loss")));
    for (int64_t i = 0; i < log->num_steps; i++) {
        double loss = golden_at(golden, "loss", i), norm = golden_at(golden, "grad_norm", i);
        worst_loss = fmax(worst_loss, fabs(log->steps[i].loss / loss - 1));
        worst_norm = fmax(worst_norm, fabs(log->steps[i].grad_norm / norm - 1));
        assert_close(log->steps[i].learning_rate, golden_at(golden, "learning_rate", i), 1e-8, 0);
        assert_close(log->steps[i].loss, loss, 1e-3, 0);
        assert_close(log->steps[i].grad_norm, norm, 1e-3, 0);
    }
    print_message("%d steps: worst loss off by %.2g, worst norm by %.2g (relative)\n", (int)log->num_steps, worst_loss,
                  worst_norm);
}

#endif
