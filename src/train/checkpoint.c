/* checkpoint.c -- a training between two steps as one file that is either whole or refused.
 *
 * Layout, native byte order: header | weights | m | v (float32 [num_weights] each) | records | 32 hex digits of
 * XXH3-128 over all before. Written aside, fsynced and renamed, so a kill leaves the previous one. A file that does not
 * belong here is set aside, never trusted: the worst it can cost is time. */
#include "train_internal.h"

#include <stdio.h>
#include <string.h>

typedef struct header {
    char magic[8];
    char fit[RL_DIGEST_HEX + 7]; /* zero-padded to 40 */
    int64_t num_weights, step;
} header;

static const char magic[8] = "RLTRAIN1";

enum { DIGEST_BYTES = RL_DIGEST_HEX - 1 };

static void hash_settings(rl_hash *hash, const rl_train_settings *s)
{
    const int64_t counts[] = {s->epochs,  s->batch_size, s->warmup_steps, s->max_steps,
                              s->shuffle, s->optimizer,  s->order};
    const double reals[] = {s->learning_rate, s->weight_decay, s->max_grad_norm, s->adam_beta1,
                            s->adam_beta2,    s->adam_epsilon, s->dropout};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) rl_hash_int(hash, counts[i]);
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) rl_hash_real(hash, reals[i]);
    if (s->precision == RL_PRECISION_BF16) rl_hash_text(hash, rl_bf16_version()); /* float32's checkpoints of before still fit */
}

static void hash_data(rl_hash *hash, const rl_encoded *data)
{
    rl_hash_bytes(hash, data->sentence_start, (size_t)(data->num_sentences + 1) * sizeof *data->sentence_start);
    rl_hash_bytes(hash, data->ids, (size_t)data->num_tokens * sizeof *data->ids);
    rl_hash_bytes(hash, data->labels, (size_t)data->num_tokens * sizeof *data->labels);
}

static void hash_masks(rl_hash *hash, const rl_model_masks *masks)
{
    int64_t n;
    const rl_unit *units = rl_model_masks_units(masks, &n);
    for (int64_t i = 0; i < n; i++) {
        rl_hash_int(hash, units[i].site);
        rl_hash_int(hash, units[i].layer);
        rl_hash_int(hash, units[i].unit);
    }
}

static void hash_model(rl_hash *hash, const rl_model *model)
{
    const rl_model_config *c = &model->config;
    rl_hash_text(hash, c->model_type);
    rl_hash_int(hash, c->num_heads); /* the only size that no tensor shows */
    rl_hash_int(hash, c->pad_token_id);
    rl_hash_real(hash, c->layer_norm_eps);
    rl_hash_real(hash, c->dropout_hidden);
    rl_hash_real(hash, c->dropout_attention);
    rl_hash_real(hash, c->dropout_embedding);
    rl_hash_real(hash, c->dropout_head);
    rl_hash_int(hash, c->tanh_gelu | c->unscaled_attention << 1 | c->layer_scaled_attention << 2);
    hash_masks(hash, model->masks);
    for (int64_t i = 0; i < model->num_parameters; i++) {
        const rl_parameter *tensor = &model->parameters[i];
        rl_hash_text(hash, tensor->name);
        rl_hash_int(hash, tensor->offset);
        for (int d = 0; d < tensor->num_dims; d++) rl_hash_int(hash, tensor->shape[d]);
    }
    rl_hash_bytes(hash, model->weights, (size_t)model->num_weights * sizeof *model->weights);
}

rl_status rl_checkpoint_fit(char fit[RL_DIGEST_HEX], const rl_model *model, const rl_encoded *data,
                            const rl_train_settings *settings, uint64_t seed, const rl_weight_mask *mask, rl_error *err)
{
    rl_hash *hash = NULL;
    rl_status status = rl_hash_create(&hash, err);
    if (status != RL_OK) return status;
    rl_hash_int(hash, RL_NUMERICS_VERSION);
    rl_hash_text(hash, rl_gemm_backend());
    rl_hash_text(hash, rl_isa_name());
    rl_hash_int(hash, (int64_t)seed);
    hash_settings(hash, settings);
    if (settings->ranks > 1) rl_hash_text(hash, "ranks_per_run"), rl_hash_int(hash, settings->ranks);
    hash_data(hash, data);
    hash_model(hash, model);
    rl_hash_int(hash, mask ? mask->count : 0);
    if (mask) rl_hash_bytes(hash, mask->offsets, (size_t)mask->count * sizeof *mask->offsets);
    rl_hash_digest(hash, fit);
    rl_hash_free(hash);
    return RL_OK;
}

/* The parts between header and checksum, in file order. */
typedef struct part {
    void *data;
    size_t bytes;
} part;
enum { NUM_PARTS = 4 };
static void parts_of(part parts[NUM_PARTS], const rl_checkpoint *state, int64_t num_records)
{
    size_t bytes = (size_t)state->num_weights * sizeof(float);
    parts[0] = (part){state->weights, bytes};
    parts[1] = (part){state->m, bytes};
    parts[2] = (part){state->v, bytes};
    parts[3] = (part){state->log->steps, (size_t)num_records * sizeof *state->log->steps};
}

static header header_of(const rl_checkpoint *state, const char *fit)
{
    header head = {.num_weights = state->num_weights, .step = state->step};
    memcpy(head.magic, magic, sizeof magic);
    memcpy(head.fit, fit, RL_DIGEST_HEX);
    return head;
}

rl_status rl_checkpoint_write(const rl_checkpoint *state, const char *path, const char *fit, rl_error *err)
{
    rl_status status = RL_OK;
    rl_atomic_file file = {0};
    rl_hash *hash = NULL;
    char digest[RL_DIGEST_HEX];
    header head = header_of(state, fit);
    part parts[NUM_PARTS];
    bool open = false;
    RL_REQUIRE(state->log->num_steps == state->step, err);
    parts_of(parts, state, state->step);
    RL_TRY(rl_hash_create(&hash, err));
    RL_TRY(rl_atomic_begin(&file, path, err));
    open = true;
    rl_hash_bytes(hash, &head, sizeof head);
    RL_TRY(rl_atomic_write(&file, &head, sizeof head, err));
    for (int i = 0; i < NUM_PARTS; i++) {
        rl_hash_bytes(hash, parts[i].data, parts[i].bytes);
        RL_TRY(rl_atomic_write(&file, parts[i].data, parts[i].bytes, err));
    }
    rl_hash_digest(hash, digest);
    RL_TRY(rl_atomic_write(&file, digest, DIGEST_BYTES, err));
    RL_TRY(rl_atomic_commit(&file, err));
cleanup:
    if (open) rl_atomic_abandon(&file);
    rl_hash_free(hash);
    return rl_error_while(err, status, "writing the checkpoint %s", path);
}

/* Size, magic and fit; then *head is safe to use. */
static bool header_fits(header *head, const rl_file_view *view, const rl_checkpoint *state, const char *fit)
{
    if (view->size < sizeof *head + DIGEST_BYTES) return false;
    memcpy(head, view->data, sizeof *head);
    if (memcmp(head->magic, magic, sizeof magic) || memcmp(head->fit, fit, RL_DIGEST_HEX)) return false;
    if (head->num_weights != state->num_weights || head->step < 0 || head->step > state->log->capacity) return false;
    size_t bytes = sizeof *head + 3 * (size_t)head->num_weights * sizeof(float) +
                   (size_t)head->step * sizeof *state->log->steps + DIGEST_BYTES;
    return view->size == bytes;
}

static rl_status checksum_holds(bool *holds, const rl_file_view *view, const part parts[NUM_PARTS], rl_error *err)
{
    rl_hash *hash = NULL;
    char digest[RL_DIGEST_HEX];
    rl_status status = rl_hash_create(&hash, err);
    if (status != RL_OK) return status;
    const char *at = view->data + sizeof(header);
    rl_hash_bytes(hash, view->data, sizeof(header));
    for (int i = 0; i < NUM_PARTS; at += parts[i++].bytes) rl_hash_bytes(hash, at, parts[i].bytes);
    rl_hash_digest(hash, digest);
    *holds = memcmp(at, digest, DIGEST_BYTES) == 0;
    rl_hash_free(hash);
    return RL_OK;
}

static rl_status set_aside(const char *path, rl_error *err)
{
    rl_status status = RL_OK;
    char *bad = rl_format(err, "%s.bad", path);
    if (!bad) return RL_ERR_MEMORY;
    if (rename(path, bad) != 0)
        status = rl_fail_errno(err, "%s does not fit this training and cannot be set aside", path);
    rl_free(bad);
    return status;
}

rl_status rl_checkpoint_read(rl_checkpoint *state, bool *restored, const char *path, const char *fit, rl_error *err)
{
    rl_status status = RL_OK;
    rl_file_view view = {0};
    header head;
    part parts[NUM_PARTS];
    bool intact = false;
    if (!rl_path_exists(path)) {
        *restored = false;
        return RL_OK;
    }
    RL_TRY(rl_file_view_open(&view, path, err));
    if (header_fits(&head, &view, state, fit)) {
        parts_of(parts, state, head.step);
        RL_TRY(checksum_holds(&intact, &view, parts, err));
    }
    if (intact) {
        const char *at = view.data + sizeof head;
        for (int i = 0; i < NUM_PARTS; at += parts[i++].bytes) memcpy(parts[i].data, at, parts[i].bytes);
        state->step = state->log->num_steps = head.step;
    } else
        RL_TRY(set_aside(path, err));
    *restored = intact;
cleanup:
    rl_file_view_close(&view);
    return rl_error_while(err, status, "reading the checkpoint %s", path);
}
