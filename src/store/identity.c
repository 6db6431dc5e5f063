/* identity.c -- what a run was asked to be, as one text: the same for its settings and for its shard, whatever machine computed it and
 * whatever its files held then. Run ids know both, so they tell apart what this calls equal. */
#include "store_internal.h"

#include <string.h>

static rl_status add(rl_buffer *text, const char *path, const char *value, bool with_seed, rl_error *err)
{
    return !with_seed && !strcmp(path, "seed") ? RL_OK : rl_buffer_printf(text, err, "%s=%s\n", path, value);
}

static rl_status add_setting(rl_buffer *text, const rl_run_settings *settings, const char *path, bool with_seed, rl_error *err)
{
    char *value = rl_settings_get(settings, path, err);
    if (!value) return RL_ERR_INTERNAL;
    rl_status status = add(text, path, value, with_seed, err);
    rl_free(value);
    return status;
}

rl_status rl_settings_identity(rl_buffer *text, const rl_run_settings *settings, bool with_seed, rl_error *err)
{
    rl_status status = RL_OK;
    text->length = 0;
    for (size_t i = 0; i < rl_num_setting_paths; i++) RL_TRY(add_setting(text, settings, rl_setting_paths[i], with_seed, err));
    for (size_t i = 0; i < rl_num_later_settings; i++) RL_TRY(add_setting(text, settings, rl_later_settings[i].path, with_seed, err));
cleanup:
    return status;
}

rl_status rl_shard_identity(rl_buffer *text, const rl_shard *shard, bool with_seed, rl_error *err)
{
    rl_status status = RL_OK;
    text->length = 0;
    for (size_t i = 0; i < rl_num_setting_paths; i++) {
        const char *value = rl_shard_attribute(shard, rl_setting_paths[i]);
        RL_TRY(add(text, rl_setting_paths[i], value ? value : "", with_seed, err));
    }
    for (size_t i = 0; i < rl_num_later_settings; i++) {
        const char *value = rl_shard_attribute(shard, rl_later_settings[i].path);
        RL_TRY(add(text, rl_later_settings[i].path, value ? value : rl_later_settings[i].silent, with_seed, err));
    }
cleanup:
    return status;
}
