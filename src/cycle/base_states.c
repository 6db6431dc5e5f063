/* base_states.c -- CKA compares every stage of a run with its fine-tuned model at the same words. What that model makes of them is
 * seen once, on the way of its own analysis, and kept: the stages after it save a pass each, and a second one by looking at
 * their own words on the way too. */
#include "cycle_internal.h"

#include <string.h>

enum { FEWEST_WORDS = 4 }; /* for a debiased estimate */

rl_status rl_cycle_make_states(rl_word_states **out, const rl_stage *stage, const rl_model_config *config,
                               const rl_concept_data *data, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t *positions = NULL, count = 0;
    *out = NULL;
    if (stage->settings->cka_words <= 0) return RL_OK;
    RL_TRY(rl_choose_positions(&positions, &count, data, stage->settings->cka_words, 0, err));
    if (count >= FEWEST_WORDS) RL_TRY(rl_word_states_create(out, config, positions, count, err));
cleanup:
    rl_free(positions);
    return status;
}

/* Which words they are of: the concept's corpus as this model's tokenizer cuts it, and how many. */
static char *key_of(const char *base, const rl_stage *stage, const rl_concept_inputs *concept, rl_error *err)
{
    return rl_format(err, "%s|%lld|%s", base, (long long)stage->settings->cka_words, concept->key);
}

static const rl_word_states *kept(const rl_cycle *cycle, const char *key)
{
    for (int i = 0; i < RL_CYCLE_SLOTS; i++)
        if (cycle->bases[i].key && !strcmp(cycle->bases[i].key, key)) return cycle->bases[i].states;
    return NULL;
}

rl_status rl_cycle_keep_states(rl_cycle *cycle, const char *base, const rl_stage *stage, const rl_concept_inputs *concept,
                               rl_word_states *states, rl_error *err)
{
    char *key = key_of(base, stage, concept, err);
    if (!key || kept(cycle, key)) { /* another finder's analysis of the same model was here before */
        rl_status status = key ? RL_OK : RL_ERR_MEMORY;
        rl_word_states_free(states);
        rl_free(key);
        return status;
    }
    rl_base_states *slot = &cycle->bases[cycle->next_base++ % RL_CYCLE_SLOTS];
    rl_free(slot->key);
    rl_word_states_free(slot->states);
    *slot = (rl_base_states){key, states};
    return RL_OK;
}

static rl_status look(rl_word_states *states, rl_cycle *cycle, const rl_stage *stage, const rl_concept_data *data, rl_error *err)
{
    rl_status status = RL_OK;
    rl_model *base = NULL;
    char *folder = rl_stage_folder(cycle, stage->base_key, "", err);
    if (!folder) return RL_ERR_MEMORY;
    RL_TRY(rl_stage_check(folder, true, err));
    RL_TRY(rl_model_load(&base, folder, NULL, 0, err));
    RL_TRY(rl_word_states_fill(states, base, data->encoded, err));
cleanup:
    rl_free(folder);
    rl_model_free(base);
    return status;
}

rl_status rl_cycle_base_states(const rl_word_states **out, rl_cycle *cycle, const rl_stage *stage, const rl_concept_inputs *concept,
                               rl_error *err)
{
    rl_status status = RL_OK;
    rl_word_states *made = NULL;
    rl_model_config config = {0};
    char *key = key_of(stage->base_key, stage, concept, err), *folder = rl_stage_folder(cycle, stage->base_key, "", err);
    if (!key || !folder) {
        status = RL_ERR_MEMORY;
        goto cleanup;
    }
    if ((*out = kept(cycle, key))) goto cleanup;
    RL_TRY(rl_model_config_read(&config, folder, err));
    RL_TRY(rl_cycle_make_states(&made, stage, &config, concept->data, err));
    if (!made) goto cleanup;
    RL_TRY(look(made, cycle, stage, concept->data, err));
    rl_word_states *found = made;
    made = NULL;
    RL_TRY(rl_cycle_keep_states(cycle, stage->base_key, stage, concept, found, err));
    *out = kept(cycle, key);
cleanup:
    rl_word_states_free(made);
    rl_model_config_free(&config);
    rl_free(key);
    rl_free(folder);
    return status;
}
