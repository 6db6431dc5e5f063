/* schema.c -- the one table of configuration paths: what a sweep file, --set, --filter and results columns may name. */
#include "sweep_internal.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const protocols[] = {"corrected", "published", "head", NULL};
static const char *const optimizers[] = {"adamw", "adamw_hf", NULL};
static const char *const orders[] = {"hf5", "hf4", NULL};
static const char *const precisions[] = {"fp32", "bf16", NULL};
static const char *const sites[] = {"layer_norm", "hidden", "ffn", "head", NULL};
static const char *const arms[] = {"relearn", "never_learned", NULL};

#define AT(member) offsetof(rl_run_settings, member)
static const double many = 9.0e15; /* integers up to here are exact in a double */
const rl_key rl_keys[] = {
    {"model", RL_KEY_MODEL, AT(model), 0, 0, NULL, "a Hugging Face folder"},
    {"seed", RL_KEY_INT, AT(seed), 0, many, NULL, "head, batch order, dropout and random pruning"},
    {"concept", RL_KEY_CONCEPT, AT(concept.name), 0, 0, NULL, "a name under concepts:"},
    {"arm", RL_KEY_CHOICE, AT(arm), 0, 0, arms, "relearn, or the control never_learned"},
    {"protocol", RL_KEY_CHOICE, AT(protocol), 0, 0, protocols, "presets: corrected, published or head"},
    {"ranks_per_run", RL_KEY_INT, AT(train.ranks), 1, RL_MAX_RANKS_PER_RUN, NULL, "ranks that train a run together, each a share of every batch"},
    {"data.train", RL_KEY_FILE, AT(train_file), 0, 0, NULL, "CoNLL columns"},
    {"data.validation", RL_KEY_FILE, AT(validation_file), 0, 0, NULL, "CoNLL columns"},
    {"data.test", RL_KEY_FILE, AT(test_file), 0, 0, NULL, "CoNLL columns, optional"},
    {"data.limit", RL_KEY_INT, AT(data_limit), 0, many, NULL, "training sentences kept; 0 = all"},
    {"train.epochs", RL_KEY_INT, AT(train.epochs), 1, 1e6, NULL, "epochs of fine-tuning"},
    {"train.batch_size", RL_KEY_INT, AT(train.batch_size), 1, 65536, NULL, "sentences a step"},
    {"train.learning_rate", RL_KEY_REAL, AT(train.learning_rate), 0, 1e3, NULL, "at the start; decays linearly to 0"},
    {"train.weight_decay", RL_KEY_REAL, AT(train.weight_decay), 0, 1e3, NULL, "of matrices and tables, decoupled"},
    {"train.max_grad_norm", RL_KEY_REAL, AT(train.max_grad_norm), 0, 1e9, NULL, "clipping by global norm; 0 = none"},
    {"train.warmup_steps", RL_KEY_INT, AT(train.warmup_steps), 0, 1e12, NULL, "of linear warm-up"},
    {"train.max_steps", RL_KEY_INT, AT(train.max_steps), 0, 1e12, NULL, "ends training early; 0 = none; the schedule still spans epochs"},
    {"train.dropout", RL_KEY_REAL, AT(train.dropout), 0, 0.999, NULL, "overrides every dropout of the model"},
    {"train.shuffle", RL_KEY_BOOL, AT(train.shuffle), 0, 0, NULL, "false keeps file order"},
    {"train.optimizer", RL_KEY_CHOICE, AT(train.optimizer), 0, 0, optimizers, "torch's AdamW or transformers 4's"},
    {"train.order", RL_KEY_CHOICE, AT(train.order), 0, 0, orders, "the batch order of transformers 5 or 4"},
    {"train.precision", RL_KEY_CHOICE, AT(train.precision), 0, 0, precisions, "of factors in training's products: fp32, or bf16 where the processor has it"},
    {"train.adam_beta1", RL_KEY_REAL, AT(train.adam_beta1), 0, 0.999999, NULL, "decay of the first moment"},
    {"train.adam_beta2", RL_KEY_REAL, AT(train.adam_beta2), 0, 0.999999999, NULL, "decay of the second moment"},
    {"train.adam_epsilon", RL_KEY_REAL, AT(train.adam_epsilon), 1e-30, 1, NULL, "added to the root of the second moment"},
    {"rank.method", RL_KEY_CHOICE, AT(rank_method), 0, 0, rl_rank_method_names, "how neurons are ranked"},
    {"rank.lambda1", RL_KEY_REAL, AT(lambda1), 0, 1e3, NULL, "of linear_probe: weight of |w|, which makes weights 0"},
    {"rank.lambda2", RL_KEY_REAL, AT(lambda2), 1e-9, 1e3, NULL, "of linear_probe: half the weight of w squared"},
    {"prune.site", RL_KEY_CHOICE, AT(prune_site), 0, 0, sites, "what is removed: layer_norm, hidden, ffn or head"},
    {"prune.permanent", RL_KEY_BOOL, AT(prune.permanent), 0, 0, NULL, "held at zero through retraining"},
    {"prune.select", RL_KEY_CHOICE, AT(prune.select), 0, 0, rl_prune_select_names, "which neurons: concept, random, least, none, or a match by layer"},
    {"prune.ratio", RL_KEY_REAL, AT(prune.ratio), 0, 1, NULL, "of all neurons, embeddings included"},
    {"prune.zero_beta", RL_KEY_BOOL, AT(prune.zero_beta), 0, 0, NULL, "zero the LayerNorm's beta as well as its gamma"},
    {"prune.layers", RL_KEY_LAYERS, AT(prune_layers), 0, 0, NULL, "hidden states that may be pruned: all, or 1..3,6"},
    {"retrain.rounds", RL_KEY_INT, AT(retrain_rounds), 0, 1000, NULL, "each with a fresh optimiser"},
    {"retrain.epochs", RL_KEY_INT, AT(retrain_epochs), 1, 1e6, NULL, "of one round"},
    {"retrain.evaluate_every", RL_KEY_INT, AT(evaluate_every), 0, 1e12, NULL, "steps between points of the recovery curve; 0 = epoch ends"},
    {"analyse.top_words", RL_KEY_INT, AT(top_words), 1, 64, NULL, "words kept per neuron"},
    {"analyse.similarity.vectors", RL_KEY_VECTORS, AT(similarity_vectors), 0, 0, NULL, "where word vectors come from: model, or a fastText .bin or .vec file"},
    {"analyse.also", RL_KEY_CONCEPTS, AT(also), 0, 0, NULL, "other concepts to follow: none, all, or names"},
    {"analyse.cka_words", RL_KEY_INT, AT(cka_words), 0, 1e6, NULL, "words compared with the base model by CKA; 0 = none"},
    {"analyse.causal", RL_KEY_BOOL, AT(causal), 0, 0, NULL, "zero pruned, newly salient and random neurons and see what F1 they carry"},
};
const size_t rl_num_keys = sizeof rl_keys / sizeof *rl_keys;

const rl_key *rl_key_find(const char *path)
{
    for (size_t i = 0; i < rl_num_keys; i++)
        if (!strcmp(rl_keys[i].path, path)) return &rl_keys[i];
    return NULL;
}

const char *rl_key_nearest(const char *path)
{
    const char *names[sizeof rl_keys / sizeof *rl_keys];
    for (size_t i = 0; i < rl_num_keys; i++) names[i] = rl_keys[i].path;
    return rl_nearest_name(path, names, rl_num_keys);
}

/* --------------------------------------------------------------------------------------------------- setting */

static void *member(const rl_key *key, rl_run_settings *settings) { return (char *)settings + key->offset; }
static const void *const_member(const rl_key *key, const rl_run_settings *settings)
{
    return (const char *)settings + key->offset;
}

static rl_status refuse(const rl_key *key, const char *text, rl_place place, rl_error *err, const char *expected)
{
    return rl_fail_at(err, RL_ERR_INPUT, place.file, place.line, place.column, "%s: '%s' is not %s", key->path, text, expected);
}

static rl_status set_int(int64_t *out, const rl_key *key, const char *text, rl_place place, rl_error *err)
{
    char *end = NULL, expected[96];
    errno = 0;
    long long value = strtoll(text, &end, 10);
    snprintf(expected, sizeof expected, "an integer from %.0f to %.0f", key->smallest, key->largest);
    if (errno || end == text || *end || isspace((unsigned char)text[0]) || (double)value < key->smallest || (double)value > key->largest)
        return refuse(key, text, place, err, expected);
    *out = value;
    return RL_OK;
}

static rl_status set_real(double *out, const rl_key *key, const char *text, rl_place place, rl_error *err)
{
    char *end = NULL, expected[96];
    double value = strtod(text, &end);
    snprintf(expected, sizeof expected, "a number from %g to %g", key->smallest, key->largest);
    bool decimal = strspn(text, "0123456789+-.eE") == strlen(text); /* strtod reads hex, inf and nan too */
    if (end == text || *end || !decimal || !(value >= key->smallest && value <= key->largest))
        return refuse(key, text, place, err, expected);
    *out = value;
    return RL_OK;
}

static rl_status set_bool(bool *out, const rl_key *key, const char *text, rl_place place, rl_error *err)
{
    if (strcmp(text, "true") && strcmp(text, "false")) return refuse(key, text, place, err, "true or false");
    *out = text[0] == 't';
    return RL_OK;
}

static rl_status set_choice(unsigned *out, const rl_key *key, const char *text, rl_place place, rl_error *err)
{
    char expected[200] = "one of";
    size_t count = 0;
    for (; key->choices[count]; count++) {
        if (!strcmp(key->choices[count], text)) {
            *out = (unsigned)count;
            return RL_OK;
        }
        size_t used = strlen(expected);
        snprintf(expected + used, sizeof expected - used, "%s %s", count ? "," : "", key->choices[count]);
    }
    const char *nearest = rl_nearest_name(text, key->choices, count);
    size_t used = strlen(expected);
    if (nearest) snprintf(expected + used, sizeof expected - used, "; did you mean '%s'?", nearest);
    return refuse(key, text, place, err, expected);
}

rl_status rl_scope_keep(const char **kept, const rl_scope *scope, const char *text, rl_error *err)
{
    int32_t id = 0;
    rl_status status = rl_names_intern(scope->pool, text, strlen(text), &id, err);
    if (status == RL_OK) *kept = rl_names_get(scope->pool, id);
    return status;
}

/* "/a/./b//c/../d/" -> "/a/b/d", in place. */
static void clean(char *path)
{
    size_t length = 1; /* path[0] is '/' */
    for (const char *p = path + 1; *p;) {
        size_t n = strcspn(p, "/"), skip = n + (p[n] == '/');
        if (n == 2 && p[0] == '.' && p[1] == '.') {
            while (length > 1 && path[length - 1] != '/') length--;
            if (length > 1) length--;
        } else if (n > 0 && !(n == 1 && p[0] == '.')) {
            if (path[length - 1] != '/') path[length++] = '/';
            memmove(path + length, p, n);
            length += n;
        }
        p += skip;
    }
    path[length] = '\0';
}

/* One spelling for one path, so that paths compare as texts; kept as given where a symbolic link before ".." makes
 * it another file. */
rl_status rl_scope_absolute(const char **kept, const rl_scope *scope, const char *path, rl_error *err)
{
    char real_joined[PATH_MAX], real_cleaned[PATH_MAX];
    rl_status status = RL_ERR_MEMORY;
    char *joined = rl_path_join(scope->folder, path, err), *cleaned = joined ? rl_strdup(joined, err) : NULL;
    if (cleaned) {
        if (cleaned[0] == '/') clean(cleaned);
        bool same = !strcmp(joined, cleaned) || !realpath(joined, real_joined) ||
                    (realpath(cleaned, real_cleaned) && !strcmp(real_joined, real_cleaned));
        status = rl_scope_keep(kept, scope, same ? cleaned : joined, err);
    }
    rl_free(cleaned);
    rl_free(joined);
    return status;
}

static rl_status set_file(const char **out, const rl_key *key, const char *text, const rl_scope *scope, rl_place place, rl_error *err)
{
    const char *path = NULL;
    rl_status status = rl_scope_absolute(&path, scope, text, err);
    if (status != RL_OK) return status;
    if (key->type == RL_KEY_MODEL && !rl_path_is_directory(path))
        return rl_fail_at(err, RL_ERR_INPUT, place.file, place.line, place.column, "%s: there is no model folder %s", key->path, path);
    if (key->type != RL_KEY_MODEL) {
        rl_file_view view = {0};
        rl_error why = {0};
        if (rl_file_view_open(&view, path, &why) != RL_OK)
            return rl_fail_at(err, RL_ERR_INPUT, place.file, place.line, place.column, "%s: %s", key->path, why.message);
        rl_file_view_close(&view);
    }
    *out = path;
    return RL_OK;
}

static rl_status no_such_concept(const rl_key *key, const char *text, const rl_scope *scope, rl_place place, rl_error *err)
{
    const char *names[RL_MAX_CONCEPTS];
    char list[400] = "";
    for (size_t i = 0; i < scope->num_concepts; i++) {
        size_t used = strlen(list);
        names[i] = scope->concepts[i].name;
        snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", names[i]);
    }
    const char *nearest = rl_nearest_name(text, names, scope->num_concepts);
    return rl_fail_at(err, RL_ERR_INPUT, place.file, place.line, place.column, "%s: '%s' is not a name under concepts: (%s)%s%s",
                      key->path, text, list, nearest ? "; the nearest is " : "", nearest ? nearest : "");
}

static int64_t find_concept(const rl_scope *scope, const char *name)
{
    for (size_t i = 0; i < scope->num_concepts; i++)
        if (!strcmp(scope->concepts[i].name, name)) return (int64_t)i;
    return -1;
}

static rl_status set_concept(rl_run_settings *settings, const rl_key *key, const char *text, const rl_scope *scope, rl_place place,
                             rl_error *err)
{
    int64_t found = find_concept(scope, text);
    if (found < 0) return no_such_concept(key, text, scope, place, err);
    settings->concept = scope->concepts[found];
    settings->concepts = scope->concepts;
    settings->num_concepts = (int64_t)scope->num_concepts;
    return RL_OK;
}

/* The next comma-separated piece of *at without blanks around it, in place; NULL at the end. */
static char *next_piece(char **at)
{
    if (!*at) return NULL;
    char *piece = *at, *comma = strchr(piece, ','), *end;
    if (comma) *comma = '\0';
    *at = comma ? comma + 1 : NULL;
    while (isspace((unsigned char)*piece)) piece++;
    for (end = piece + strlen(piece); end > piece && isspace((unsigned char)end[-1]);) *--end = '\0';
    return piece;
}

static rl_status set_concepts(rl_run_settings *settings, const rl_key *key, const char *text, const rl_scope *scope, rl_place place,
                              rl_error *err)
{
    rl_status status = RL_OK;
    uint64_t every = scope->num_concepts >= 64 ? UINT64_MAX : (UINT64_C(1) << scope->num_concepts) - 1, chosen = 0;
    char *copy = rl_strdup(text, err), *at = copy;
    if (!copy) return RL_ERR_MEMORY;
    for (char *piece; status == RL_OK && strcmp(text, "none") && strcmp(text, "all") && (piece = next_piece(&at));) {
        int64_t found = find_concept(scope, piece);
        if (found < 0)
            status = no_such_concept(key, piece, scope, place, err);
        else
            chosen |= UINT64_C(1) << found;
    }
    rl_free(copy);
    if (status != RL_OK) return status;
    settings->also = strcmp(text, "all") ? chosen : every;
    settings->concepts = scope->concepts;
    settings->num_concepts = (int64_t)scope->num_concepts;
    return RL_OK;
}

/* "3" or "1..4" into bits. */
static bool add_layers(uint64_t *layers, const char *piece)
{
    char *end = NULL;
    if (!isdigit((unsigned char)piece[0])) return false;
    long first = strtol(piece, &end, 10), last = first;
    if (!strncmp(end, "..", 2) && isdigit((unsigned char)end[2])) last = strtol(end + 2, &end, 10);
    if (*end || first > last || last > 63) return false;
    for (long l = first; l <= last; l++) *layers |= UINT64_C(1) << l;
    return true;
}

static rl_status set_layers(uint64_t *out, const rl_key *key, const char *text, rl_place place, rl_error *err)
{
    uint64_t layers = 0;
    bool good = true;
    char *copy = rl_strdup(text, err), *at = copy;
    if (!copy) return RL_ERR_MEMORY;
    for (char *piece; strcmp(text, "all") && good && (piece = next_piece(&at));) good = add_layers(&layers, piece);
    rl_free(copy);
    if (!good) return refuse(key, text, place, err, "all, or hidden states from 0 to 63 such as 1..3,6 or [1, 2, 6]");
    *out = layers;
    return RL_OK;
}

static rl_status set_vectors(const char **out, const rl_key *key, const char *text, const rl_scope *scope, rl_place place,
                             rl_error *err)
{
    const char *path = NULL;
    rl_file_view view = {0};
    rl_error why = {0};
    rl_status status = strcmp(text, "model") ? rl_scope_absolute(&path, scope, text, err) : RL_OK;
    if (status != RL_OK) return status;
    if (path && rl_file_view_open(&view, path, &why) != RL_OK)
        return rl_fail_at(err, RL_ERR_INPUT, place.file, place.line, place.column,
                          "%s: %s; model, or a fastText .bin or .vec file was expected", key->path, why.message);
    rl_file_view_close(&view);
    *out = path;
    return RL_OK;
}

rl_status rl_key_set(rl_run_settings *settings, const rl_key *key, const char *text, const rl_scope *scope, rl_place place,
                     rl_error *err)
{
    void *to = member(key, settings);
    unsigned choice = 0;
    rl_status status;
    switch (key->type) {
    case RL_KEY_INT: return set_int(to, key, text, place, err);
    case RL_KEY_REAL: return set_real(to, key, text, place, err);
    case RL_KEY_BOOL: return set_bool(to, key, text, place, err);
    case RL_KEY_CHOICE:
        status = set_choice(&choice, key, text, place, err);
        if (status == RL_OK) memcpy(to, &choice, sizeof choice); /* every enum here is an unsigned int */
        return status;
    case RL_KEY_FILE:
    case RL_KEY_MODEL: return set_file(to, key, text, scope, place, err);
    case RL_KEY_CONCEPT: return set_concept(settings, key, text, scope, place, err);
    case RL_KEY_CONCEPTS: return set_concepts(settings, key, text, scope, place, err);
    case RL_KEY_LAYERS: return set_layers(to, key, text, place, err);
    case RL_KEY_VECTORS: return set_vectors(to, key, text, scope, place, err);
    }
    return rl_fail(err, RL_ERR_INTERNAL, "%s has no type", key->path);
}
_Static_assert(sizeof(rl_protocol) == sizeof(unsigned) && sizeof(rl_prune_select) == sizeof(unsigned) &&
                   sizeof(rl_optimizer) == sizeof(unsigned) && sizeof(rl_data_order) == sizeof(unsigned) &&
                   sizeof(rl_rank_method) == sizeof(unsigned) && sizeof(rl_prune_site) == sizeof(unsigned) &&
                   sizeof(rl_arm) == sizeof(unsigned) && sizeof(rl_precision) == sizeof(unsigned),
               "choices are stored as unsigned int");

/* --------------------------------------------------------------------------------------------------- getting */

static rl_status print_real(rl_buffer *text, double value, rl_error *err)
{
    char digits[40];
    for (int precision = 6; precision <= 17; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, value);
        if (strtod(digits, NULL) == value) break;
    }
    return rl_buffer_append(text, digits, strlen(digits), err);
}

/* "0,2,4..6" */
static rl_status print_layers(rl_buffer *text, uint64_t layers, rl_error *err)
{
    rl_status status = RL_OK;
    if (!layers) return rl_buffer_printf(text, err, "all");
    for (int first = 0, last; first < 64 && status == RL_OK; first = last + 1) {
        last = first;
        if (!(layers >> first & 1)) continue;
        while (last < 63 && layers >> (last + 1) & 1) last++;
        status = rl_buffer_printf(text, err, "%s%d", layers & ((UINT64_C(1) << first) - 1) ? "," : "", first);
        if (status == RL_OK && last > first) status = rl_buffer_printf(text, err, "..%d", last);
    }
    return status;
}

static rl_status print_concepts(rl_buffer *text, const rl_run_settings *settings, rl_error *err)
{
    rl_status status = RL_OK;
    const char *comma = "";
    if (!settings->also) return rl_buffer_printf(text, err, "none");
    for (int64_t i = 0; i < settings->num_concepts && status == RL_OK; i++) {
        if (!(settings->also >> i & 1)) continue;
        status = rl_buffer_printf(text, err, "%s%s", comma, settings->concepts[i].name);
        comma = ",";
    }
    return status;
}

rl_status rl_key_get(rl_buffer *text, const rl_key *key, const rl_run_settings *settings, rl_error *err)
{
    const void *from = const_member(key, settings);
    unsigned choice = 0;
    const char *string = NULL;
    switch (key->type) {
    case RL_KEY_INT: return rl_buffer_printf(text, err, "%lld", (long long)*(const int64_t *)from);
    case RL_KEY_REAL: return print_real(text, *(const double *)from, err);
    case RL_KEY_BOOL: return rl_buffer_printf(text, err, "%s", *(const bool *)from ? "true" : "false");
    case RL_KEY_CHOICE: memcpy(&choice, from, sizeof choice); return rl_buffer_printf(text, err, "%s", key->choices[choice]);
    case RL_KEY_FILE:
    case RL_KEY_MODEL:
    case RL_KEY_CONCEPT: memcpy(&string, from, sizeof string); return rl_buffer_printf(text, err, "%s", string ? string : "");
    case RL_KEY_VECTORS: memcpy(&string, from, sizeof string); return rl_buffer_printf(text, err, "%s", string ? string : "model");
    case RL_KEY_LAYERS: return print_layers(text, *(const uint64_t *)from, err);
    case RL_KEY_CONCEPTS: return print_concepts(text, settings, err);
    }
    return rl_fail(err, RL_ERR_INTERNAL, "%s has no type", key->path);
}

bool rl_key_is_list(const rl_key *key) { return key->type == RL_KEY_LAYERS || key->type == RL_KEY_CONCEPTS; }

rl_status rl_key_canonical(const char **kept, const rl_key *key, const char *text, const rl_scope *scope, rl_place place,
                           rl_error *err)
{
    rl_status status = RL_OK;
    rl_buffer spelled = {0};
    rl_run_settings scratch = rl_run_defaults(RL_PROTOCOL_CORRECTED);
    bool path = key->type == RL_KEY_FILE || key->type == RL_KEY_MODEL;
    if (path) return rl_scope_absolute(kept, scope, text, err);
    if (!rl_key_is_list(key) && key->type != RL_KEY_VECTORS) return rl_scope_keep(kept, scope, text, err);
    RL_TRY(rl_key_set(&scratch, key, text, scope, place, err));
    RL_TRY(rl_key_get(&spelled, key, &scratch, err));
    RL_TRY(rl_scope_keep(kept, scope, spelled.data, err));
cleanup:
    rl_buffer_free(&spelled);
    return status;
}

bool rl_key_is_unset(const rl_key *key, const rl_run_settings *settings)
{
    const char *string = NULL;
    if (key->type == RL_KEY_REAL) return *(const double *)const_member(key, settings) < 0;
    if (key->type != RL_KEY_FILE && key->type != RL_KEY_MODEL && key->type != RL_KEY_CONCEPT) return false;
    memcpy(&string, const_member(key, settings), sizeof string);
    return !string;
}

bool rl_key_is_late_default(const rl_key *key, const rl_run_settings *settings)
{
    return key->offset == AT(train.ranks) && settings->train.ranks == 1;
}

static rl_status unknown(const char *path, rl_error *err)
{
    const char *nearest = rl_key_nearest(path);
    return rl_fail(err, RL_ERR_USAGE, "'%s' is no setting%s%s", path, nearest ? "; did you mean " : "", nearest ? nearest : "");
}

char *rl_settings_get(const rl_run_settings *settings, const char *path, rl_error *err)
{
    const rl_key *key = rl_key_find(path);
    rl_buffer text = {0};
    if (!key) {
        unknown(path, err);
        return NULL;
    }
    if (rl_key_is_unset(key, settings)) return rl_strdup("", err);
    if (rl_key_get(&text, key, settings, err) == RL_OK) return text.data;
    rl_buffer_free(&text);
    return NULL;
}

rl_status rl_settings_set(rl_run_settings *settings, const char *assignment, rl_error *err)
{
    char path[64];
    const char *equals = strchr(assignment, '=');
    if (!equals || equals == assignment || (size_t)(equals - assignment) >= sizeof path)
        return rl_fail(err, RL_ERR_USAGE, "'%s' is not PATH=VALUE", assignment);
    snprintf(path, sizeof path, "%.*s", (int)(equals - assignment), assignment);
    const rl_key *key = rl_key_find(path);
    if (!key) return unknown(path, err);
    if (key->type == RL_KEY_FILE || key->type == RL_KEY_MODEL || key->type == RL_KEY_CONCEPT || key->type == RL_KEY_CONCEPTS ||
        key->type == RL_KEY_VECTORS)
        return rl_fail(err, RL_ERR_USAGE, "%s cannot be set here", path);
    rl_status status = rl_key_set(settings, key, equals + 1, NULL, (rl_place){assignment, 0, 0}, err);
    return status;
}

rl_status rl_settings_describe(rl_buffer *text, rl_error *err)
{
    const rl_run_settings defaults = rl_run_defaults(RL_PROTOCOL_CORRECTED);
    for (size_t i = 0; i < rl_num_keys; i++) {
        char *value = rl_settings_get(&defaults, rl_keys[i].path, err);
        if (!value) return RL_ERR_MEMORY;
        char line[128];
        snprintf(line, sizeof line, "%s: %s", rl_keys[i].path, value);
        rl_status status = rl_buffer_printf(text, err, "%-40s %s\n", line, rl_keys[i].help);
        rl_free(value);
        if (status != RL_OK) return status;
    }
    return RL_OK;
}
