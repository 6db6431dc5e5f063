/* json.c -- jansson with our error line. */
#include "relearn/core.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

rl_status rl_json_read(json_t **out, const char *path, rl_error *err)
{
    rl_file_view view = {0};
    json_error_t problem;
    rl_status status = rl_file_view_open(&view, path, err);
    if (status != RL_OK) return status;
    json_t *root = json_loadb(view.data, view.size, JSON_REJECT_DUPLICATES, &problem);
    if (!root)
        status = rl_fail_at(err, RL_ERR_INPUT, path, problem.line, problem.column > 0 ? problem.column : 1,
                            "is not JSON: %s", problem.text);
    else if (!json_is_object(root))
        status = rl_fail_at(err, RL_ERR_INPUT, path, 1, 1, "a JSON object was expected");
    rl_file_view_close(&view);
    if (status == RL_OK)
        *out = root;
    else
        json_decref(root);
    return status;
}

json_t *rl_json_number(double value) { return isfinite(value) ? json_real(value) : json_null(); }

json_t *rl_json_text(const char *text)
{
    char *printable = rl_strdup(text, NULL);
    if (printable) rl_make_printable(printable);
    json_t *string = printable ? json_string(printable) : NULL;
    rl_free(printable);
    return string;
}

rl_status rl_json_write(const char *path, const json_t *root, rl_error *err)
{
    char *text = json_dumps(root, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
    if (!text) return rl_fail(err, RL_ERR_MEMORY, "%s: the JSON text cannot be made", path);
    rl_buffer buffer = {0};
    rl_status status = rl_buffer_append(&buffer, text, strlen(text), err);
    if (status == RL_OK) status = rl_buffer_append(&buffer, "\n", 1, err);
    if (status == RL_OK) status = rl_write_file(path, buffer.data, buffer.length, err);
    rl_buffer_free(&buffer);
    free(text); /* jansson's allocation, not ours */
    return status;
}

/* Of the shortest text of everything but "sum", keys sorted: white space and order in the file do not matter. */
static rl_status sum_of(char sum[17], const json_t *root, rl_error *err)
{
    char *text = json_dumps(root, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
    if (!text) return rl_fail(err, RL_ERR_MEMORY, "a checksum of JSON cannot be made");
    snprintf(sum, 17, "%016" PRIx64, rl_hash64(text, strlen(text)));
    free(text); /* jansson's allocation, not ours */
    return RL_OK;
}

rl_status rl_json_write_summed(const char *path, json_t *root, rl_error *err)
{
    char sum[17];
    json_object_del(root, "sum");
    rl_status status = sum_of(sum, root, err);
    if (status == RL_OK && json_object_set_new(root, "sum", json_string(sum)) != 0) status = RL_ERR_MEMORY;
    return status == RL_OK ? rl_json_write(path, root, err) : status;
}

rl_status rl_json_read_summed(json_t **out, const char *path, rl_error *err)
{
    char sum[17], stored[17] = "";
    json_t *root = NULL;
    rl_status status = rl_json_read(&root, path, err);
    if (status != RL_OK) return status;
    const char *text = json_string_value(json_object_get(root, "sum"));
    if (text) snprintf(stored, sizeof stored, "%s", text);
    json_object_del(root, "sum");
    status = sum_of(sum, root, err);
    if (status == RL_OK && strcmp(sum, stored))
        status = rl_fail(err, RL_ERR_INPUT, "%s: is damaged: its contents have the checksum %s, it says %s", path, sum,
                         stored[0] ? stored : "none");
    if (status == RL_OK)
        *out = root;
    else
        json_decref(root);
    return status;
}
