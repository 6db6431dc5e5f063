/* policy.c -- what decides how a sweep is worked off and never what comes out: keep, retries, memory_per_rank,
 * stuck_after, threads_per_rank, hung_after. Top-level keys of a sweep file, and --set takes them too. No stage key holds them, so they may change between
 * starts (threads: where the products' back end keeps its bits, rl_linalg_threads_keep_bits; elsewhere its version names the count). */
#include "sweep_file.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"keep", "retries", "memory_per_rank", "stuck_after", "threads_per_rank", "hung_after"};
enum { KEEP, RETRIES, MEMORY_PER_RANK, STUCK_AFTER, THREADS_PER_RANK, HUNG_AFTER, NUM_POLICIES };
static const char *const keeps[] = {"all", "final", "none"};

rl_sweep_policy rl_policy_defaults(void)
{
    return (rl_sweep_policy){.keep = RL_KEEP_ALL, .retries = 1, .threads_per_rank = 1, .stuck_after = 100, .hung_after_s = 60};
}

bool rl_policy_is_key(const char *name)
{
    for (int i = 0; i < NUM_POLICIES; i++)
        if (!strcmp(names[i], name)) return true;
    return false;
}

static rl_status refuse(rl_place place, rl_error *err, const char *name, const char *text, const char *expected)
{
    return rl_fail_at(err, RL_ERR_INPUT, place.file, place.line, place.column, "%s: '%s' is not %s", name, text, expected);
}

/* "8GB", "512 MiB", "1e9": bytes; decimal units as on a disk's box, binary ones with an i. */
static bool parse_bytes(double *bytes, const char *text)
{
    static const char letters[] = "kMGT";
    char *end = NULL;
    double value = strtod(text, &end), unit = 1;
    if (end == text || !(value >= 0 && value < 1e18)) return false;
    while (*end == ' ') end++;
    const char *letter = *end ? strchr(letters, *end == 'K' ? 'k' : *end) : NULL;
    if (letter) {
        double base = end[1] == 'i' ? 1024 : 1000;
        for (const char *l = letters; l <= letter; l++) unit *= base;
        end += end[1] == 'i' ? 2 : 1;
    }
    if (*end == 'B') end++;
    *bytes = value * unit;
    return !*end;
}

static bool parse_count(double *value, const char *text, double largest)
{
    char *end = NULL;
    *value = strtod(text, &end);
    return end != text && !*end && *value >= 0 && *value <= largest;
}

rl_status rl_policy_set(rl_sweep_policy *policy, const char *name, const char *text, rl_place place, rl_error *err)
{
    double number = 0;
    if (!strcmp(name, names[KEEP])) {
        for (int k = 0; k < 3; k++)
            if (!strcmp(text, keeps[k])) {
                policy->keep = (rl_keep)k;
                return RL_OK;
            }
        return refuse(place, err, name, text, "all, final or none");
    }
    if (!strcmp(name, names[MEMORY_PER_RANK])) {
        if (!parse_bytes(&number, text)) return refuse(place, err, name, text, "a size such as 8GB, 512MiB, or 0 for no limit");
        policy->memory_per_rank_bytes = number;
        policy->memory_place.file = place.file;
        policy->memory_place.line = place.line;
        policy->memory_place.column = place.column;
        return RL_OK;
    }
    if (!strcmp(name, names[THREADS_PER_RANK])) {
        if (!parse_count(&number, text, RL_MAX_THREADS) || number < 1 || number != (double)(int)number)
            return refuse(place, err, name, text, "a whole number from 1 to 256");
        policy->threads_per_rank = (int32_t)number;
        return RL_OK;
    }
    if (!strcmp(name, names[HUNG_AFTER])) {
        if (!parse_count(&number, text, 1e9) || number <= 0) return refuse(place, err, name, text, "a number of seconds above 0");
        policy->hung_after_s = number;
        return RL_OK;
    }
    bool retries = !strcmp(name, names[RETRIES]);
    if (!parse_count(&number, text, retries ? 100 : 1e9) || (retries && number != (double)(int)number))
        return refuse(place, err, name, text, retries ? "a whole number from 0 to 100" : "a multiple of the predicted time, or 0 for never");
    if (retries)
        policy->retries = (int32_t)number;
    else
        policy->stuck_after = number;
    return RL_OK;
}

rl_status rl_sweep_file_policy(rl_sweep_file *file, const rl_yaml *root, rl_error *err)
{
    rl_status status = RL_OK;
    for (size_t i = 0; i < root->count; i++) {
        const rl_yaml *value = root->values[i];
        if (!rl_policy_is_key(root->keys[i]->text)) continue;
        if (value->kind != RL_YAML_SCALAR) return rl_yaml_fail(value, err, "%s: a single value was expected", root->keys[i]->text);
        RL_TRY(rl_policy_set(&file->policy, root->keys[i]->text, value->text, value->place, err));
    }
cleanup:
    return status;
}

rl_status rl_policy_print(rl_buffer *text, const rl_sweep_policy *policy, rl_error *err)
{
    return rl_buffer_printf(text, err, "keep: %s\nretries: %d\nmemory_per_rank: %.17g\nstuck_after: %.17g\nthreads_per_rank: %d\nhung_after: %.17g\n",
                            keeps[policy->keep], (int)policy->retries, policy->memory_per_rank_bytes, policy->stuck_after,
                            (int)policy->threads_per_rank, policy->hung_after_s);
}

bool rl_policy_deletes(const rl_sweep_policy *policy, const rl_stage *stage)
{
    bool analysis = stage->kind == RL_STAGE_IDENTIFY || stage->kind == RL_STAGE_ANALYSE || stage->kind == RL_STAGE_CAUSAL;
    bool last = stage->kind == RL_STAGE_RETRAIN && stage->round == stage->settings->retrain_rounds;
    if (policy->keep == RL_KEEP_FINAL) return !analysis && !last;
    return policy->keep == RL_KEEP_NONE;
}
