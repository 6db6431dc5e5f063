/* training_log.c -- one record per step: in memory, and as training.jsonl with the keys of design §2. */
#include "train_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void rl_training_log_free(rl_training_log *log)
{
    if (!log) return;
    rl_free(log->steps);
    *log = (rl_training_log){0};
}

rl_status rl_training_log_reserve(rl_training_log *log, int64_t capacity, rl_error *err)
{
    if (capacity <= log->capacity) return RL_OK;
    rl_step_record *steps = rl_regrow(log->steps, (size_t)log->num_steps, (size_t)capacity, sizeof *steps, err);
    if (!steps) return RL_ERR_MEMORY;
    log->steps = steps;
    log->capacity = capacity;
    return RL_OK;
}

/* The shortest decimal that reads back as the same double. */
static void shortest(char text[32], double value)
{
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, 32, "%.*g", digits, value);
        if (strtod(text, NULL) == value) return;
    }
}

static rl_status append_record(rl_buffer *text, const rl_step_record *record, rl_error *err)
{
    char loss[32], norm[32], rate[32];
    shortest(loss, record->loss);
    shortest(norm, record->grad_norm);
    shortest(rate, record->learning_rate);
    return rl_buffer_printf(text, err,
                            "{\"step\":%lld,\"epoch\":%lld,\"loss\":%s,\"grad_norm\":%s,\"learning_rate\":%s,"
                            "\"tokens\":%lld,\"seconds\":%.6g}\n",
                            (long long)record->step, (long long)record->epoch, loss, norm, rate,
                            (long long)record->tokens, record->seconds);
}

rl_status rl_training_log_write(const rl_training_log *log, const char *path, rl_error *err)
{
    rl_status status = RL_OK;
    rl_buffer text = {0};
    for (int64_t i = 0; i < log->num_steps; i++) RL_TRY(append_record(&text, &log->steps[i], err));
    RL_TRY(rl_write_file(path, text.data ? text.data : "", text.length, err));
cleanup:
    rl_buffer_free(&text);
    return status;
}

static rl_status read_number(double *out, const json_t *object, const char *key, const char *path, long line,
                             rl_error *err)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_number(value))
        return rl_fail_at(err, RL_ERR_INPUT, path, line, 0, "no number \"%s\"; expected one record of a training step",
                          key);
    *out = json_number_value(value);
    return RL_OK;
}

static rl_status read_count(int64_t *out, const json_t *object, const char *key, const char *path, long line,
                            rl_error *err)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value))
        return rl_fail_at(err, RL_ERR_INPUT, path, line, 0, "no integer \"%s\"; expected one record of a training step",
                          key);
    *out = json_integer_value(value);
    return RL_OK;
}

static rl_status read_record(rl_step_record *record, const char *text, size_t length, const char *path, long line,
                             rl_error *err)
{
    rl_status status = RL_OK;
    json_error_t problem;
    json_t *object = json_loadb(text, length, 0, &problem);
    if (!json_is_object(object)) {
        status = rl_fail_at(err, RL_ERR_INPUT, path, line, object ? 1 : problem.column, "%s; expected a JSON object",
                            object ? "not an object" : problem.text);
        goto cleanup;
    }
    RL_TRY(read_count(&record->step, object, "step", path, line, err));
    RL_TRY(read_count(&record->epoch, object, "epoch", path, line, err));
    RL_TRY(read_number(&record->loss, object, "loss", path, line, err));
    RL_TRY(read_number(&record->grad_norm, object, "grad_norm", path, line, err));
    RL_TRY(read_number(&record->learning_rate, object, "learning_rate", path, line, err));
    RL_TRY(read_number(&record->seconds, object, "seconds", path, line, err));
    RL_TRY(read_count(&record->tokens, object, "tokens", path, line, err));
cleanup:
    json_decref(object);
    return status;
}

rl_status rl_training_log_read(rl_training_log *log, const char *path, rl_error *err)
{
    rl_status status = RL_OK;
    rl_file_view view = {0};
    rl_training_log read = {0};
    RL_TRY(rl_file_view_open(&view, path, err));
    const char *at = view.data, *end = view.data + view.size;
    for (long line = 1; at < end; line++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (!stop) stop = end;
        if (read.num_steps == read.capacity)
            RL_TRY(rl_training_log_reserve(&read, read.capacity ? 2 * read.capacity : 256, err));
        RL_TRY(read_record(&read.steps[read.num_steps], at, (size_t)(stop - at), path, line, err));
        read.num_steps++;
        at = stop < end ? stop + 1 : end;
    }
    *log = read;
    read = (rl_training_log){0};
cleanup:
    rl_training_log_free(&read);
    rl_file_view_close(&view);
    return status;
}
