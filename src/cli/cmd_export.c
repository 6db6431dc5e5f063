/* cmd_export.c: relearn export DIR RUN STAGE --to FOLDER, --csv FILE or --parquet FILE -- one stage's model as a Hugging Face folder, or
 * its table. */
#include "cli.h"

#include <string.h>

static const rl_option options[] = {{"to", "FOLDER", "write the stage's model as a Hugging Face folder"},
                                    {"csv", "FILE", "write the stage's neuron table as comma-separated values ('-': standard output)"},
                                    {"parquet", "FILE", "the same table, and more columns, as Parquet (Python with pyarrow writes it)"},
                                    {NULL, NULL, NULL}};

static rl_status find_stage(int32_t *stage, const rl_shard *shard, const char *name, const char *run, rl_error *err)
{
    const char *names[64];
    int32_t n = rl_shard_num_stages(shard);
    for (int32_t i = 0; i < n; i++) {
        if (!strcmp(rl_shard_stage_name(shard, i), name)) {
            *stage = i;
            return RL_OK;
        }
        if (i < 64) names[i] = rl_shard_stage_name(shard, i);
    }
    const char *nearest = rl_nearest_name(name, names, n < 64 ? (size_t)n : 64);
    return rl_fail(err, RL_ERR_USAGE, "run %s has no stage '%s'; %s '%s'", run, name, nearest ? "the nearest is" : "its last is",
                   nearest ? nearest : rl_shard_stage_name(shard, n - 1));
}

static rl_status export_model(const char *directory, const char *key, const char *to, rl_error *err)
{
    rl_status status = RL_OK;
    rl_model *model = NULL;
    char *folder = rl_format(err, "%s/stages/%s", directory, key), *config = rl_path_join(to, "config.json", err);
    if (!folder || !config) {
        status = RL_ERR_MEMORY;
        goto cleanup;
    }
    if (!rl_stage_is_complete(directory, key)) {
        status = rl_fail(err, RL_ERR_INPUT, "%s: the stage's folder was deleted (keep: final or none, or by hand); to get it back, move the run's "
                         "shard out of %s/runs and start the sweep with --set keep=all", folder, directory);
        goto cleanup;
    }
    if (rl_path_exists(config)) {
        status = rl_fail(err, RL_ERR_USAGE, "%s: already holds a model; give --to another folder", to);
        goto cleanup;
    }
    RL_TRY(rl_stage_check(folder, true, err));
    RL_TRY(rl_model_load(&model, folder, NULL, 0, err));
    RL_TRY(rl_model_save(model, to, folder, err));
    printf("%s\n", to);
cleanup:
    rl_model_free(model);
    rl_free(folder);
    rl_free(config);
    return status;
}

static rl_status export_csv(const rl_shard *shard, int32_t stage, const char *file, rl_error *err)
{
    rl_status status = RL_OK;
    rl_neuron_table *table = NULL;
    rl_names *words = NULL;
    rl_buffer csv = {0};
    RL_TRY(rl_shard_read_neurons(shard, stage, &table, err));
    RL_TRY(rl_shard_read_words(shard, &words, err));
    RL_TRY(rl_neuron_table_csv(&csv, table, words, 0, err));
    if (!strcmp(file, "-"))
        fwrite(csv.data, 1, csv.length, stdout);
    else
        RL_TRY(rl_write_file(file, csv.data, csv.length, err));
cleanup:
    rl_buffer_free(&csv);
    rl_names_free(words);
    rl_neuron_table_free(table);
    return status;
}

static rl_status export_parquet(const char *shard, const char *stage, const char *file, int *exit_code, rl_error *err)
{
    const char *arguments[] = {"export", "--parquet", file, "--", shard, stage};
    return rl_run_python(arguments, sizeof arguments / sizeof *arguments, exit_code, err);
}

static rl_status run(const rl_args *args, int *exit_code, rl_error *err)
{
    rl_status status = RL_OK;
    const char *parquet = rl_args_text(args, "parquet", NULL);
    const char *directory = args->operands[0], *to = rl_args_text(args, "to", NULL), *csv = rl_args_text(args, "csv", NULL);
    char id[RL_RUN_ID], *path = NULL;
    rl_shard *shard = NULL;
    int32_t stage = 0;
    if (!to && !csv && !parquet) return rl_fail(err, RL_ERR_USAGE, "export: --to FOLDER, --csv FILE or --parquet FILE is missing");
    RL_TRY(rl_find_run(id, directory, args->operands[1], err));
    path = rl_plan_shard_path(directory, id, err);
    if (!path) return RL_ERR_MEMORY;
    if (!rl_path_exists(path)) {
        status = rl_fail(err, RL_ERR_INPUT, "%s: run %s is not done yet", directory, id);
        goto cleanup;
    }
    RL_TRY(rl_shard_open(&shard, path, err));
    RL_TRY(find_stage(&stage, shard, args->operands[2], id, err));
    if (to) RL_TRY(export_model(directory, rl_shard_stage_model_key(shard, stage), to, err));
    if (csv) RL_TRY(export_csv(shard, stage, csv, err));
    if (parquet) RL_TRY(export_parquet(path, rl_shard_stage_name(shard, stage), parquet, exit_code, err));
cleanup:
    rl_shard_close(shard);
    rl_free(path);
    return status;
}

const rl_command rl_command_export = {"export", "DIR RUN STAGE --to FOLDER | --csv FILE | --parquet FILE",
                                      "the model of a stage (base, pruned, retrained_1, ...) as a Hugging Face folder, or its table",
                                      3, 3, options, NULL, run, false};
