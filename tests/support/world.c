/* world.c -- see world.h. Sentences are frames filled by a fixed walk over small word lists: deterministic, learnable. */
#include "world.h"
#include "support.h"

static const char *const people[] = {"anna", "boris", "carla", "dmitri", "elena", "farid"};
static const char *const places[] = {"oslo", "lima", "kyoto", "cairo", "quito", "dakar", "perth", "turin"};
static const char *const firms[] = {"acme", "globex", "initech", "hooli"};
static const char *const verbs[] = {"visited", "left", "praised", "saw", "joined"};
static const char *const times[] = {"today", "yesterday", "again", "twice"};
#define PICK(list, i) list[(size_t)(i) % (sizeof list / sizeof *list)]

static FILE *create(char *path, size_t size, const support_world *world, const char *name)
{
    snprintf(path, size, "%s/%s", world->folder, name);
    FILE *file = fopen(path, "wb");
    if (!file) abort();
    return file;
}

static void write_ner(char path[600], const support_world *world, const char *name, int sentences, int offset)
{
    FILE *file = create(path, 600, world, name);
    fprintf(file, "-DOCSTART- O\n\n");
    for (int i = offset; i < offset + sentences; i++) {
        fprintf(file, "%s B-PER\n%s O\n%s B-LOC\n", PICK(people, i * 7 + i / 3), PICK(verbs, i * 5), PICK(places, i * 3 + i / 5));
        if (i % 3 == 0) fprintf(file, "with O\n%s B-ORG\n", PICK(firms, i));
        if (i % 4 == 1) fprintf(file, "%s O\n", PICK(times, i));
        fprintf(file, ". O\n\n");
    }
    fclose(file);
}

static void write_concept(support_world *world)
{
    FILE *tokens = create(world->tokens, sizeof world->tokens, world, "tokens.txt");
    FILE *labels = create(world->labels, sizeof world->labels, world, "labels.txt");
    for (int i = 0; i < 60; i++) {
        fprintf(tokens, "%s %s %s %s .\n", PICK(people, i * 5), PICK(verbs, i * 3), PICK(places, i), PICK(times, i * 7));
        fprintf(labels, "N/A N/A SEM:named_entity:location N/A N/A\n");
    }
    fclose(tokens);
    fclose(labels);
}

static void write_list(FILE *file, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) fprintf(file, "%s\n", list[i]);
}

static void write_model(support_world *world)
{
    rl_error err = {0};
    char path[700];
    snprintf(world->model, sizeof world->model, "%s/tiny-bert", world->folder);
    assert_ok(rl_make_directories(world->model, &err), err);
    snprintf(path, sizeof path, "%s/vocab.txt", world->model);
    FILE *vocab = fopen(path, "wb");
    if (!vocab) abort();
    fprintf(vocab, "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n.\nwith\n");
    write_list(vocab, people, sizeof people / sizeof *people);
    write_list(vocab, places, sizeof places / sizeof *places - 1); /* the last place is made of pieces */
    fprintf(vocab, "tu\n##rin\n");
    write_list(vocab, firms, sizeof firms / sizeof *firms);
    write_list(vocab, verbs, sizeof verbs / sizeof *verbs);
    write_list(vocab, times, sizeof times / sizeof *times);
    fclose(vocab);
    snprintf(path, sizeof path, "%s/tokenizer_config.json", world->model);
    support_write(path, "{\"tokenizer_class\": \"BertTokenizer\", \"do_lower_case\": true, \"model_max_length\": 64}");
    snprintf(path, sizeof path, "%s/config.json", world->model);
    support_write(path, "{\"model_type\": \"bert\", \"architectures\": [\"BertModel\"], \"vocab_size\": 40, \"hidden_size\": 16,\n"
                        "\"num_hidden_layers\": 2, \"num_attention_heads\": 2, \"intermediate_size\": 32, \"hidden_act\": \"gelu\",\n"
                        "\"hidden_dropout_prob\": 0.1, \"attention_probs_dropout_prob\": 0.1, \"max_position_embeddings\": 64,\n"
                        "\"type_vocab_size\": 2, \"layer_norm_eps\": 1e-12, \"pad_token_id\": 0, \"initializer_range\": 0.2,\n"
                        "\"relearn_random_init\": 7}");
    snprintf(world->broken_model, sizeof world->broken_model, "%s/broken-bert", world->folder);
    assert_ok(rl_make_directories(world->broken_model, &err), err);
    snprintf(path, sizeof path, "%s/config.json", world->broken_model);
    support_write(path, "{\"model_type\": \"bert\", \"vocab_size\": 40,");
}

static void write_sweep(support_world *world)
{
    FILE *file = create(world->sweep, sizeof world->sweep, world, "sweep.yaml");
    fprintf(file,
            "sweep: tiny\n"
            "data: {train: train.conll, validation: validation.conll, test: test.conll, format: conll}\n"
            "concepts:\n"
            "  location: {tokens: tokens.txt, labels: labels.txt, positive: [\"SEM:named_entity:location\"]}\n"
            "grid:\n"
            "  model: [tiny-bert]\n"
            "  seed: 0..1\n"
            "  concept: [location]\n"
            "  prune.select: [concept, random]\n"
            "train: {epochs: 2, learning_rate: 5e-3}\n"
            "prune: {ratio: 0.5, permanent: true}\n"
            "retrain: {rounds: 2, epochs: 1}\n");
    fclose(file);
}

void support_make_world(support_world *world, const char *name)
{
    rl_error err = {0};
    memset(world, 0, sizeof *world);
    snprintf(world->folder, sizeof world->folder, "%s/%s", support_temporary_folder(), name);
    assert_ok(rl_make_directories(world->folder, &err), err);
    write_model(world);
    write_ner(world->train, world, "train.conll", 60, 0);
    write_ner(world->validation, world, "validation.conll", 20, 1000);
    write_ner(world->test, world, "test.conll", 20, 2000);
    write_concept(world);
    write_sweep(world);
}
