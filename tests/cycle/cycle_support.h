/* cycle_support.h -- what the cycle room's tests share: a run of the tiny world, and its stages. */
#ifndef RELEARN_TEST_CYCLE_SUPPORT_H
#define RELEARN_TEST_CYCLE_SUPPORT_H

#include "cycle_internal.h"
#include "support.h"
#include "world.h"

/* Seed 1, one epoch, one round of one epoch, the location concept from its two files. */
static inline rl_run_settings settings_in(const support_world *world)
{
    rl_run_settings s = rl_run_defaults(RL_PROTOCOL_CORRECTED);
    s.model = world->model;
    s.train_file = world->train;
    s.validation_file = world->validation;
    s.concept = (rl_concept_settings){.name = "location",
                                      .kind = RL_CONCEPT_LABELS,
                                      .tokens = world->tokens,
                                      .labels = world->labels,
                                      .positives = {"SEM:named_entity:location"},
                                      .num_positives = 1};
    s.seed = 1;
    s.train.epochs = 1;
    s.train.learning_rate = 5e-3;
    s.retrain_rounds = 1;
    s.retrain_epochs = 1;
    return s;
}

static inline rl_stage *stages_of(int32_t *n, const rl_run_settings *settings)
{
    rl_error err = {0};
    rl_stage *stages = NULL;
    rl_contents *contents = NULL;
    assert_ok(rl_contents_create(&contents, &err), err);
    assert_ok(rl_cycle_stages(&stages, n, settings, contents, &err), err);
    rl_contents_free(contents);
    return stages;
}

#endif
