/* fields.c -- the one table of what a run has per stage: the shard writer, the gather and the documents follow it. */
#include "store_internal.h"

#include <stdio.h>
#include <string.h>

#define NEURON(name, element, long_name)                                                           \
    {                                                                                              \
        "neurons", #name, element, RL_AXIS_NEURON, offsetof(rl_neuron_table, name), "1", long_name, .since = 0 \
    }
#define STEP(name, element, units, long_name)                                                      \
    {                                                                                              \
        "training", #name, element, RL_AXIS_STEP, offsetof(rl_step_record, name), units, long_name, .since = 0 \
    }
#define EPOCH(name, member, long_name)                                                             \
    {                                                                                              \
        "training", name, RL_F64, RL_AXIS_EPOCH, offsetof(rl_stage_result, member), "1", long_name, .since = 0 \
    }

#define POINT(name, member, units, long_name)                                                                \
    {                                                                                                        \
        "curve", name, RL_F64, RL_AXIS_POINT, offsetof(rl_stage_result, member), units, long_name, .since = 2 \
    }
#define TYPE(name, element, stored_as, long_name)                                                             \
    {                                                                                                         \
        "types", #name, element, RL_AXIS_TYPE, offsetof(rl_score, name), "1", long_name, .stored = stored_as \
    }
#define OTHER(name, element, long_name)                                                                           \
    {                                                                                                             \
        "also", #name, element, RL_AXIS_OTHER, offsetof(rl_neuron_table, name), "1", long_name, .since = 2 \
    }

#define READING(name, long_name)                                                                          \
    {                                                                                                     \
        "neurons", #name, RL_F64, RL_AXIS_NEURON, offsetof(rl_neuron_table, name), "1", long_name, .since = 2 \
    }
#define LAYER(name, long_name)                                                                               \
    {                                                                                                        \
        "layers", #name, RL_F64, RL_AXIS_LAYER, offsetof(rl_stage_result, name), "1", long_name, .since = 2 \
    }
#define FINDER(name, long_name)                                                                                \
    {                                                                                                          \
        "finders", #name, RL_F64, RL_AXIS_FINDER, offsetof(rl_neuron_table, name), "1", long_name, .since = 2 \
    }
#define CAUSE(name, member, long_name)                                                                       \
    {                                                                                                        \
        "causal", name, RL_F64, RL_AXIS_SET, offsetof(rl_stage_result, member), "1", long_name, .since = 2 \
    }

const rl_field rl_fields[] = {
    NEURON(score, RL_F64, "score of the neuron by the ranking method; larger carries more of the concept"),
    NEURON(rank, RL_I32, "rank of the neuron by score, 0 = most important; -1: no value"),
    NEURON(saliency, RL_F64, "saliency of the neuron in [0, 1]; NaN on null neurons"),
    NEURON(similarity, RL_F64, "cosine similarity of the neuron's top words to those of the base stage"),
    NEURON(mean_difference, RL_F32, "mean activation on concept words minus mean activation on all others"),
    NEURON(effect_size, RL_F32, "mean difference divided by the pooled standard deviation"),
    NEURON(sd, RL_F32, "standard deviation of the activation over all words"),
    NEURON(null, RL_I8, "1 where the neuron is null by the protocol's rule; -1: no value"),
    {"neurons", "pruned", RL_I8, RL_AXIS_PRUNED, 0, "1",
     "1 where the neuron has been pruned before this stage; -1: no value", .since = 0},
    {"words", "word", RL_I32, RL_AXIS_WORD, offsetof(rl_neuron_table, top_word), "1",
     "the neuron's top words, best first, as indices into /vocabulary; -1: none", .since = 0},
    {"words", "score", RL_F64, RL_AXIS_WORD, offsetof(rl_neuron_table, top_score), "1",
     "score of the top word relative to the best one; 0 where there is none", .since = 0},
    STEP(loss, RL_F64, "nat", "training loss of the step, mean over its labelled tokens"),
    STEP(grad_norm, RL_F64, "1", "norm of the gradient over all parameters before clipping"),
    STEP(learning_rate, RL_F64, "1", "learning rate of the step"),
    STEP(tokens, RL_I64, "1", "tokens of the step's batch, specials included; -1: no value"),
    EPOCH("f1", epoch_word_f1, "word-level F1 on the validation data after the epoch"),
    EPOCH("subword_f1", epoch_subword_f1, "sub-word-level F1 on the validation data after the epoch"),
    EPOCH("validation_loss", epoch_loss, "loss on the validation data after the epoch"),
    POINT("step", point_step, "1", "training steps; retraining counts on from round to round, the pruned model is 0"),
    POINT("f1", point_f1, "1", "word-level F1 on the validation data"),
    POINT("concept_f1", point_concept_f1, "1", "word-level F1 of the concept's entity types on the validation data"),
    POINT("other_f1", point_other_f1, "1", "word-level F1 of all other entity types on the validation data"),
    POINT("loss", point_loss, "nat", "loss on the validation data"),
    POINT("recovered", point_recovered, "1", "(F1 - pruned F1) / (base F1 - pruned F1)"),
    POINT("concept_recovered", point_concept_recovered, "1", "the same of the concept's F1"),
    TYPE(f1, RL_F64, "scores/type_f1", "word-level F1 of the entity type on the validation data"),
    TYPE(precision, RL_F64, "scores/type_precision", "word-level precision of the entity type on the validation data"),
    TYPE(recall, RL_F64, "scores/type_recall", "word-level recall of the entity type on the validation data"),
    TYPE(support, RL_I64, "scores/type_support", "entities of the type in the validation data; -1: no value"),
    OTHER(score, RL_F64, "score of the neuron for another concept than the run's own"),
    OTHER(rank, RL_I32, "rank of the neuron for the other concept, 0 = most important; -1: no value"),
    OTHER(saliency, RL_F64, "saliency of the neuron for the other concept in [0, 1]; NaN on null neurons"),
    READING(spread, "polysemanticity: mean pairwise distance 1 - cos of the top words' vectors"),
    READING(concept_similarity, "cosine similarity of the top words to the concept's centroid; in base: primedness"),
    READING(old_share, "share of the top words that were the neuron's own in base"),
    READING(new_share, "share of the top words that are of the concept and were not the neuron's in base"),
    READING(concept_share, "share of the top words that are of the concept"),
    LAYER(cka, "debiased linear CKA of the hidden state to the base model's, at words of the concept corpus"),
    LAYER(saliency_share, "share of the concept's saliency that lies in the layer"),
    LAYER(probe_accuracy, "accuracy of the linear probe on held-out words"),
    LAYER(control_accuracy, "accuracy of the linear probe on the control task"),
    LAYER(selectivity, "accuracy minus control accuracy of the linear probe"),
    FINDER(spearman, "rank correlation of the chosen finder's ranking with this finder's"),
    FINDER(overlap, "overlap of the chosen finder's most important neurons with this finder's"),
    CAUSE("count", causal_count, "neurons that were zeroed"),
    CAUSE("concept_drop", causal_concept_drop, "F1 of the concept (of all types where it has none) that is lost without them"),
    CAUSE("other_drop", causal_other_drop, "F1 of all other entity types that is lost without them"),
    CAUSE("concept_sd", causal_concept_sd, "standard deviation of concept_drop over random draws"),
    CAUSE("other_sd", causal_other_sd, "standard deviation of other_drop over random draws"),
};
const size_t rl_num_fields = sizeof rl_fields / sizeof rl_fields[0];

bool rl_field_in_shard(const rl_field *field) { return field->axis != RL_AXIS_PRUNED && field->axis != RL_AXIS_TYPE; }

void rl_field_path(char path[64], const rl_field *field)
{
    if (field->stored)
        snprintf(path, 64, "%s", field->stored);
    else
        snprintf(path, 64, "%s/%s", field->group, field->name);
}

const rl_dimension rl_axis_dimensions[][2] = {[RL_AXIS_NEURON] = {RL_DIM_NEURON, RL_DIM_NONE},
                                              [RL_AXIS_WORD] = {RL_DIM_NEURON, RL_DIM_K},
                                              [RL_AXIS_STEP] = {RL_DIM_STEP, RL_DIM_NONE},
                                              [RL_AXIS_EPOCH] = {RL_DIM_EPOCH, RL_DIM_NONE},
                                              [RL_AXIS_PRUNED] = {RL_DIM_NEURON, RL_DIM_NONE},
                                              [RL_AXIS_POINT] = {RL_DIM_POINT, RL_DIM_NONE},
                                              [RL_AXIS_TYPE] = {RL_DIM_TYPE, RL_DIM_NONE},
                                              [RL_AXIS_OTHER] = {RL_DIM_CONCEPT, RL_DIM_NEURON},
                                              [RL_AXIS_LAYER] = {RL_DIM_LAYER, RL_DIM_NONE},
                                              [RL_AXIS_FINDER] = {RL_DIM_FINDER, RL_DIM_NONE},
                                              [RL_AXIS_SET] = {RL_DIM_SET, RL_DIM_NONE}};

int64_t rl_dimension_size(rl_dimension dimension, const rl_extents *e)
{
    const int64_t sizes[RL_DIM_COUNT] = {[RL_DIM_NONE] = 1,        [RL_DIM_NEURON] = e->neurons, [RL_DIM_K] = e->k,
                                         [RL_DIM_STEP] = e->steps, [RL_DIM_EPOCH] = e->epochs,   [RL_DIM_POINT] = e->points,
                                         [RL_DIM_TYPE] = e->types, [RL_DIM_CONCEPT] = e->others,
                                         [RL_DIM_LAYER] = e->layers, [RL_DIM_FINDER] = RL_NUM_RANK_METHODS,
                                         [RL_DIM_SET] = RL_NUM_CAUSAL_SETS};
    return sizes[dimension];
}

rl_array rl_field_array(const rl_field *field, const rl_extents *extents)
{
    const rl_dimension *beside = rl_axis_dimensions[field->axis];
    hsize_t dims[3] = {(hsize_t)extents->stages, (hsize_t)rl_dimension_size(beside[0], extents),
                       (hsize_t)rl_dimension_size(beside[1], extents)};
    return rl_array_of(field->element, beside[1] == RL_DIM_NONE ? 2 : 3, dims);
}

/* Both as [a, b, c] with c = 1 where there is no third axis. */
void rl_pad(void *destination, const rl_array *to, const void *source, const rl_array *from, const int32_t *place)
{
    size_t width = to->width, c_to = to->num_dims == 3 ? (size_t)to->dims[2] : 1,
           c_from = from->num_dims == 3 ? (size_t)from->dims[2] : 1;
    char *out = destination;
    const char *in = source;
    rl_fill_missing(destination, rl_array_count(to), to->element, width);
    if (c_from == 0) return;
    for (size_t a = 0; a < from->dims[0]; a++)
        for (size_t b = 0; b < from->dims[1]; b++) {
            size_t at = place ? (size_t)place[b] : b;
            memcpy(out + (a * (size_t)to->dims[1] + at) * c_to * width, in, c_from * width);
            in += c_from * width;
        }
}

void rl_stage_label(char label[32], int64_t stage)
{
    if (stage < 2)
        snprintf(label, 32, "%s", stage == 0 ? "base" : "pruned");
    else
        snprintf(label, 32, "retrained_%lld", (long long)stage - 1);
}

#define REAL(name, member, column, long_name)                              \
    {                                                                      \
        name, RL_F64, offsetof(rl_stage_result, member), column, long_name, .since = 0 \
    }
#define LATER(name, member, column, long_name)                                         \
    {                                                                                  \
        name, RL_F64, offsetof(rl_stage_result, member), column, long_name, .since = 2 \
    }
#define COUNT(name, member)                                         \
    {                                                               \
        name, RL_I64, offsetof(rl_stage_result, member), NULL, NULL, .since = 0 \
    }
const rl_score_field rl_score_fields[] = {
    REAL("word_f1", word.f1, "f1", "word-level micro F1 on the validation data"),
    REAL("word_precision", word.precision, "precision", "word-level micro precision on the validation data"),
    REAL("word_recall", word.recall, "recall", "word-level micro recall on the validation data"),
    COUNT("word_support", word.support),
    COUNT("word_predicted", word.predicted),
    COUNT("word_correct", word.correct),
    REAL("accuracy", accuracy, "accuracy", "word-level accuracy on the validation data"),
    REAL("loss", loss, "loss", "loss on the validation data"),
    REAL("subword_f1", subword.f1, "subword_f1", "sub-word-level micro F1 on the validation data"),
    REAL("subword_precision", subword.precision, NULL, NULL),
    REAL("subword_recall", subword.recall, NULL, NULL),
    COUNT("subword_support", subword.support),
    COUNT("subword_predicted", subword.predicted),
    COUNT("subword_correct", subword.correct),
    REAL("test_word_f1", test_word.f1, "test_f1", "word-level micro F1 on the test data"),
    REAL("test_word_precision", test_word.precision, "test_precision", "word-level micro precision on the test data"),
    REAL("test_word_recall", test_word.recall, "test_recall", "word-level micro recall on the test data"),
    COUNT("test_word_support", test_word.support),
    COUNT("test_word_predicted", test_word.predicted),
    COUNT("test_word_correct", test_word.correct),
    REAL("test_accuracy", test_accuracy, "test_accuracy", "word-level accuracy on the test data"),
    REAL("test_subword_f1", test_subword.f1, "test_subword_f1", "sub-word-level micro F1 on the test data"),
    REAL("test_subword_precision", test_subword.precision, NULL, NULL),
    REAL("test_subword_recall", test_subword.recall, NULL, NULL),
    COUNT("test_subword_support", test_subword.support),
    COUNT("test_subword_predicted", test_subword.predicted),
    COUNT("test_subword_correct", test_subword.correct),
    LATER("concept_f1", concept.f1, "concept_f1", "word-level F1 of the concept's entity types on the validation data"),
    LATER("concept_precision", concept.precision, "concept_precision", "word-level precision of the concept's entity types on the validation data"),
    LATER("concept_recall", concept.recall, "concept_recall", "word-level recall of the concept's entity types on the validation data"),
    LATER("other_f1", others.f1, "other_f1", "word-level F1 of all other entity types on the validation data"),
    LATER("test_concept_f1", test_concept.f1, "test_concept_f1", "word-level F1 of the concept's entity types on the test data"),
    LATER("saliency_centre", saliency_centre, "saliency_centre", "centre of mass of the concept's saliency over layers"),
    LATER("saliency_entropy", saliency_entropy, "saliency_entropy", "entropy of the concept's saliency over layers, 1 = even"),
    LATER("difference_centre", difference_centre, "difference_centre", "centre of mass of |mean difference| over layers"),
    LATER("primedness", primedness, "primedness", "Spearman correlation over pruned neurons: base similarity to the concept, saliency"),
    LATER("test_other_f1", test_others.f1, "test_other_f1", "word-level F1 of all other entity types on the test data"),
};
const size_t rl_num_score_fields = sizeof rl_score_fields / sizeof rl_score_fields[0];

/* Every configuration path of design §3. tests/store/test_shard.c holds this list against rl_settings_describe. */
const char *const rl_setting_paths[] = {
    "model",
    "data.train",
    "data.validation",
    "data.test",
    "data.limit",
    "concept",
    "seed",
    "arm",
    "protocol",
    "train.epochs",
    "train.batch_size",
    "train.warmup_steps",
    "train.max_steps",
    "train.learning_rate",
    "train.weight_decay",
    "train.max_grad_norm",
    "train.adam_beta1",
    "train.adam_beta2",
    "train.adam_epsilon",
    "train.dropout",
    "train.shuffle",
    "train.optimizer",
    "train.order",
    "rank.method",
    "prune.site",
    "prune.select",
    "prune.ratio",
    "prune.permanent",
    "prune.zero_beta",
    "prune.layers",
    "retrain.rounds",
    "retrain.epochs",
    "retrain.evaluate_every",
    "analyse.top_words",
    "analyse.similarity.vectors",
    "analyse.also",
    "analyse.cka_words",
    "analyse.causal",
};
const size_t rl_num_setting_paths = sizeof rl_setting_paths / sizeof rl_setting_paths[0];

/* Settings that came later: a shard that does not say them means what all shards before them had, so its bytes are theirs. */
const rl_later_setting rl_later_settings[] = {{"ranks_per_run", "1"}, {"train.precision", "fp32"}, {"rank.lambda1", "0.001"},
                                                {"rank.lambda2", "0.001"}};
const size_t rl_num_later_settings = sizeof rl_later_settings / sizeof rl_later_settings[0];

#define OF_RUN(name, units, long_name)                            \
    {                                                          \
        #name, offsetof(rl_run_result, name), units, long_name \
    }
const rl_run_field rl_run_fields[] = {
    OF_RUN(half_life, "1", "steps of retraining until half of the lost F1 is back, interpolated; NaN: never (in epochs, over seeds: /stats)"),
    OF_RUN(half_life_censored, "1", "1 where half of it did not come back within the retraining; NaN: nothing was lost"),
    OF_RUN(recovery_area, "1", "mean recovered fraction over the steps of retraining"),
    OF_RUN(concept_half_life, "1", "steps of retraining until half of the concept's lost F1 is back, interpolated; NaN: never"),
    OF_RUN(concept_half_life_censored, "1", "1 where half of the concept's F1 did not come back; NaN: it has none, or lost none"),
    OF_RUN(concept_recovery_area, "1", "mean recovered fraction of the concept's F1 over the steps of retraining"),
};
const size_t rl_num_run_fields = sizeof rl_run_fields / sizeof rl_run_fields[0];
