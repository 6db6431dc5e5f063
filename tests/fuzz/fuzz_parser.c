/* One libFuzzer program for each parser of a file, chosen when it is compiled: -DFUZZ_conll and so on. The input becomes the file, is read
 * through the ordinary reader, and whatever that says is fine: only a crash, a leak, undefined behaviour or a hang is not.
 *
 * A checksum stops nearly every input at the door. The targets NAME_sealed put the right one on whatever the input is, so that what lies behind is read too. */
#include "relearn/cluster.h"

#include "cycle_internal.h"
#include "model_internal.h"
#include "train_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char folder[256], path[512];
static rl_error err;
static bool say; /* RELEARN_FUZZ_SAY: what the reader makes of each input, to see whether a seed gets anywhere */

static void put(const char *name, const void *bytes, size_t size)
{
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(bytes, 1, size, file) != size || fclose(file) != 0) abort();
}

static void remove_folder(void) { rl_remove_tree(folder, NULL); }

/* Files that the reader wants beside the one that is fuzzed, which stay the same. */
static void put_companions(void)
{
#if defined(FUZZ_concept_tokens)
    put("labels.txt", "N/A SEM:a,b\nN/A N/A N/A\n", 24);
#elif defined(FUZZ_concept_labels)
    put("tokens.txt", "one two\nthree four five\n", 24);
#elif defined(FUZZ_merges)
    static const char vocab[] = "{\"a\": 0, \"b\": 1, \"ab\": 2, \"c\": 3, \"abc\": 4, \"bc\": 5, \"<|endoftext|>\": 6}";
    put("vocab.json", vocab, sizeof vocab - 1);
    put("tokenizer_config.json", "{\"tokenizer_class\": \"GPT2Tokenizer\"}", 36);
#elif defined(FUZZ_vocab_json)
    put("merges.txt", "#version: 0.2\na b\n", 18);
    put("tokenizer_config.json", "{\"tokenizer_class\": \"GPT2Tokenizer\"}", 36);
#elif defined(FUZZ_tokenizer_config) || defined(FUZZ_special_tokens_map)
    put("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\none\n##s\n<s>\n", 43);
#elif defined(FUZZ_safetensors_index)
    static const char tensor[] = "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}";
    char shard[8 + sizeof tensor] = {(char)(sizeof tensor - 1)};
    memcpy(shard + 8, tensor, sizeof tensor - 1);
    put("one.safetensors", shard, sizeof shard);
#elif defined(FUZZ_weights)
    static const char config[] = "{\"model_type\": \"bert\", \"architectures\": [\"BertForTokenClassification\"], \"vocab_size\": 2, \"hidden_size\": 2, "
                                 "\"num_hidden_layers\": 1, \"num_attention_heads\": 1, \"intermediate_size\": 2, \"hidden_act\": \"gelu\", "
                                 "\"max_position_embeddings\": 4, \"id2label\": {\"0\": \"O\", \"1\": \"B-X\"}}";
    put("config.json", config, sizeof config - 1);
#elif defined(FUZZ_words) || defined(FUZZ_sentences)
    put("data.conll", "one B-LOC\ntwo O\nthree O\n\ntwo O\n", 31);
    put("listed.txt", "two\n", 4);
#elif defined(FUZZ_sweep)
    put("tokens.txt", "one two\n", 8);
    put("labels.txt", "N/A SEM:a\n", 10);
    put("data.conll", "one B-LOC\n", 10);
    static const char config[] = "{\"model_type\": \"bert\", \"vocab_size\": 6, \"hidden_size\": 4, \"num_hidden_layers\": 1, \"num_attention_heads\": 1, "
                                 "\"intermediate_size\": 4, \"hidden_act\": \"gelu\", \"max_position_embeddings\": 8, \"relearn_random_init\": 7}";
    put("config.json", config, sizeof config - 1); /* the folder is the model too */
    put("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\none\n", 35);
    put("tokenizer_config.json", "{\"tokenizer_class\": \"BertTokenizer\"}", 36);
#endif
}

#if defined(FUZZ_conll)
static const char name[] = "data.conll";
static void parse(void)
{
    static const char *const known[] = {"O", "B-LOC", "I-LOC", "B-PER", "I-PER"};
    rl_corpus *corpus = NULL;
    rl_names *labels = NULL;
    rl_error unknown = {0};
    int32_t id = 0;
    if (rl_conll_read(&corpus, path, NULL, 0, &err) == RL_OK) rl_corpus_free(corpus);
    if (rl_names_create(&labels, &unknown) != RL_OK) abort(); /* and with the labels of a model, as for validation data */
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) rl_names_intern(labels, known[i], strlen(known[i]), &id, &unknown);
    if (rl_conll_read(&corpus, path, labels, 0, &unknown) == RL_OK) rl_corpus_free(corpus);
    rl_names_free(labels);
}
#elif defined(FUZZ_concept_tokens) || defined(FUZZ_concept_labels)
#if defined(FUZZ_concept_tokens)
static const char name[] = "tokens.txt";
#else
static const char name[] = "labels.txt";
#endif
static void parse(void)
{
    char tokens[512], labels[512];
    rl_corpus *corpus = NULL;
    snprintf(tokens, sizeof tokens, "%s/tokens.txt", folder);
    snprintf(labels, sizeof labels, "%s/labels.txt", folder);
    if (rl_concept_corpus_read(&corpus, tokens, labels, &err) == RL_OK) rl_corpus_free(corpus);
}
#elif defined(FUZZ_config)
static const char name[] = "config.json";
static void parse(void)
{
    rl_model_config config = {0};
    if (rl_model_config_read(&config, folder, &err) == RL_OK) rl_model_config_free(&config);
}
#elif defined(FUZZ_safetensors)
static const char name[] = "model.safetensors";
static void parse(void)
{
    rl_safetensors file = {0};
    float values[256];
    if (rl_safetensors_open(&file, path, &err) != RL_OK) return;
    for (size_t i = 0; i < file.num_tensors; i++) {
        const rl_tensor_view *tensor = &file.tensors[i];
        bool is_real = tensor->dtype == RL_DTYPE_F32 || tensor->dtype == RL_DTYPE_F16 || tensor->dtype == RL_DTYPE_BF16;
        if (is_real && tensor->count <= 256) rl_tensor_to_float(values, tensor);
    }
    rl_safetensors_close(&file);
}
#elif defined(FUZZ_safetensors_index)
static const char name[] = "model.safetensors.index.json";
static void parse(void)
{
    rl_weight_files files = {0};
    if (rl_weight_files_open(&files, folder, &err) == RL_OK) rl_weight_files_close(&files);
}
#elif defined(FUZZ_weights)
static const char name[] = "model.safetensors";
static void parse(void)
{
    rl_model *model = NULL;
    if (rl_model_load(&model, folder, NULL, 1, &err) == RL_OK) rl_model_free(model);
}
#elif defined(FUZZ_vectors_bin) || defined(FUZZ_vectors_vec)
#if defined(FUZZ_vectors_bin)
static const char name[] = "vectors.bin";
#else
static const char name[] = "vectors.vec";
#endif
static void parse(void)
{
    static const char *const asked[] = {"the", "cat", "unheard-of", ""};
    rl_names *words = NULL;
    float *table = NULL;
    int64_t dimension = 0;
    int32_t id = 0;
    if (rl_names_create(&words, &err) != RL_OK) abort();
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) rl_names_intern(words, asked[i], strlen(asked[i]), &id, &err);
    if (rl_word_vectors_from_file(&table, &dimension, NULL, path, words, true, &err) == RL_OK) rl_free(table);
    rl_names_free(words);
}
#elif defined(FUZZ_tokenizer_json) || defined(FUZZ_vocab) || defined(FUZZ_merges) || defined(FUZZ_vocab_json) || defined(FUZZ_tokenizer_config) || \
    defined(FUZZ_special_tokens_map)
#if defined(FUZZ_tokenizer_json)
static const char name[] = "tokenizer.json";
#elif defined(FUZZ_vocab)
static const char name[] = "vocab.txt";
#elif defined(FUZZ_vocab_json)
static const char name[] = "vocab.json";
#elif defined(FUZZ_tokenizer_config)
static const char name[] = "tokenizer_config.json";
#elif defined(FUZZ_special_tokens_map)
static const char name[] = "special_tokens_map.json";
#else
static const char name[] = "merges.txt";
#endif
static void parse(void)
{
    static const char *const words[] = {"", "abc", "ones", "[SEP]", "Caf\303\251\344\270\255 <|endoftext|>"};
    rl_tokenizer *tokenizer = NULL;
    rl_id_list ids = {0};
    if (rl_tokenizer_load(&tokenizer, folder, &err) != RL_OK) return;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) rl_tokenizer_encode_word(tokenizer, words[i], strlen(words[i]), &ids, &err);
    rl_free(ids.ids);
    rl_tokenizer_free(tokenizer);
}
#elif defined(FUZZ_sweep)
static const char name[] = "sweep.yaml";
static void parse(void)
{
    static const char asked[] = "sweep: s\ndata: {train: data.conll, validation: data.conll}\nmodel: .\nconcepts: {a: {tokens: tokens.txt, labels: labels.txt, "
                                "positive: SEM:a}}\ngrid: {concept: a, seed: 0..1}\n";
    rl_sweep *sweep = NULL, *goes_on = NULL, *whole = NULL;
    rl_error unread = {0}, why = {0};
    char previous[sizeof path];
    if (rl_sweep_read(&sweep, path, NULL, 0, NULL, &err) != RL_OK) return;
    memcpy(previous, path, sizeof path); /* and as what a folder holds that another sweep goes on in */
    put("asked.yaml", asked, sizeof asked - 1);
    if (rl_sweep_read(&goes_on, path, NULL, 0, NULL, &why) != RL_OK) abort();
    if (rl_sweep_extend(&whole, goes_on, path, NULL, 0, previous, true, &unread, &why) == RL_OK) rl_sweep_free(whole);
    rl_sweep_free(goes_on);
    rl_sweep_free(sweep);
}
#elif defined(FUZZ_words) || defined(FUZZ_sentences)
#if defined(FUZZ_words)
static const char name[] = "words.txt", list[] = "words.txt", text[] = "";
#else
static const char name[] = "sentences.txt", list[] = "listed.txt", text[] = "sentences.txt";
#endif
static void parse(void)
{
    char train[512], words[512], in[512];
    snprintf(train, sizeof train, "%s/data.conll", folder);
    snprintf(words, sizeof words, "%s/%s", folder, list);
    snprintf(in, sizeof in, "%s/%s", folder, text);
    rl_run_settings settings = rl_run_defaults(RL_PROTOCOL_CORRECTED);
    rl_concept_settings concept = {.name = "c", .kind = RL_CONCEPT_WORDS, .words_file = words, .in = text[0] ? in : NULL};
    rl_concept_corpus corpus = {0};
    settings.train_file = train;
    if (rl_cycle_concept_corpus(&corpus, &settings, &concept, &err) == RL_OK) rl_corpus_free(corpus.corpus);
}
#elif defined(FUZZ_training_log)
static const char name[] = "training.jsonl";
static void parse(void)
{
    rl_training_log log = {0};
    if (rl_training_log_read(&log, path, &err) == RL_OK) rl_training_log_free(&log);
}
#elif defined(FUZZ_journal) || defined(FUZZ_journal_sealed)
static const char name[] = "journal.jsonl";
static rl_status visit(void *context, const json_t *event, rl_error *error)
{
    (void)context, (void)event, (void)error;
    return RL_OK;
}
static void parse(void)
{
    int64_t damaged = 0;
    rl_sweep_status *status = NULL;
    char *notice = NULL;
    rl_journal_read(folder, visit, NULL, &damaged, &err);
    if (rl_sweep_status_read(&status, folder, &err) == RL_OK) rl_sweep_status_free(status);
    rl_sweep_past past = {0};
    if (rl_sweep_past_read(&past, folder, &err) == RL_OK) rl_sweep_past_clear(&past);
    if (rl_journal_mend(&notice, folder, &err) == RL_OK) rl_free(notice);
    snprintf(path, sizeof path, "%s/quarantine", folder);
    rl_remove_tree(path, &err);
}
#elif defined(FUZZ_shard)
static const char name[] = "shard.h5";
static void parse(void) { rl_shard_check_seal(path, &err); }
#elif defined(FUZZ_checkpoint) || defined(FUZZ_checkpoint_sealed)
static const char name[] = "checkpoint";
static void parse(void)
{
    float weights[4], m[4], v[4];
    rl_step_record steps[4];
    rl_training_log log = {.steps = steps, .capacity = 4};
    rl_checkpoint state = {weights, m, v, 4, 0, &log};
    bool restored = false;
    rl_checkpoint_read(&state, &restored, path, "0123456789abcdef0123456789abcdef", &err);
}
#elif defined(FUZZ_neuron_table) || defined(FUZZ_neuron_table_sealed)
static const char name[] = "neurons.bin";
static void parse(void)
{
    rl_neuron_table *table = NULL;
    if (rl_neuron_table_read(&table, path, &err) == RL_OK) rl_neuron_table_free(table);
}
#elif defined(FUZZ_stage_record) || defined(FUZZ_stage_record_sealed)
static const char name[] = "stage.json";
static void parse(void) { rl_stage_check(folder, true, &err); }
#endif

#if defined(FUZZ_journal_sealed)
/* Each line that could be a record, with the sum that rl_journal_append would give it. */
static void put_input(const uint8_t *data, size_t size)
{
    static const char sum[] = ",\"sum\":\"";
    rl_buffer sealed = {0};
    const char *at = (const char *)data, *end = at + size;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at)), *stop = newline ? newline : end, *body = stop;
        if (body > at && body[-1] == '}') body--;
        if (body - at > 26 && !memcmp(body - 26, sum, sizeof sum - 1)) body -= 26;
        rl_buffer line = {0};
        if (rl_buffer_append(&line, at, (size_t)(body - at), &err) != RL_OK || rl_buffer_append(&line, "}", 1, &err) != RL_OK ||
            rl_buffer_append(&sealed, line.data, line.length - 1, &err) != RL_OK ||
            rl_buffer_printf(&sealed, &err, "%s%016" PRIx64 "\"}\n", sum, rl_hash64(line.data, line.length)) != RL_OK)
            abort();
        rl_buffer_free(&line);
        at = stop + 1;
    }
    put(name, sealed.data ? sealed.data : "", sealed.length);
    rl_buffer_free(&sealed);
}
#elif defined(FUZZ_neuron_table_sealed)
static void put_input(const uint8_t *data, size_t size)
{
    uint64_t sum = size > sizeof sum ? rl_hash64(data, size - sizeof sum) : 0;
    rl_buffer sealed = {0};
    if (size > sizeof sum && (rl_buffer_append(&sealed, data, size - sizeof sum, &err) != RL_OK || rl_buffer_append(&sealed, &sum, sizeof sum, &err) != RL_OK))
        abort();
    put(name, sealed.length ? sealed.data : (const char *)data, sealed.length ? sealed.length : size);
    rl_buffer_free(&sealed);
}
#elif defined(FUZZ_checkpoint_sealed)
static void put_input(const uint8_t *data, size_t size)
{
    enum { DIGEST = RL_DIGEST_HEX - 1 };
    char digest[RL_DIGEST_HEX];
    rl_hash *hash = NULL;
    rl_buffer sealed = {0};
    size_t body = size > DIGEST ? size - DIGEST : 0;
    if (rl_hash_create(&hash, &err) != RL_OK) abort();
    rl_hash_bytes(hash, data, body);
    rl_hash_digest(hash, digest);
    rl_hash_free(hash);
    if (rl_buffer_append(&sealed, data, body, &err) != RL_OK || rl_buffer_append(&sealed, digest, DIGEST, &err) != RL_OK) abort();
    put(name, sealed.data, sealed.length);
    rl_buffer_free(&sealed);
}
#elif defined(FUZZ_stage_record_sealed)
static void put_input(const uint8_t *data, size_t size)
{
    json_t *root = json_loadb((const char *)data, size, 0, NULL);
    put(name, data, size);
    if (json_is_object(root) && rl_json_write_summed(path, root, &err) != RL_OK) abort();
    json_decref(root);
}
#else
static void put_input(const uint8_t *data, size_t size) { put(name, data, size); }
#endif

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    say = getenv("RELEARN_FUZZ_SAY") != NULL;
    snprintf(folder, sizeof folder, "%s/relearn-fuzz-%ld", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", (long)getpid());
    if (rl_make_directories(folder, &err) != RL_OK) abort();
    atexit(remove_folder);
    put_companions();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    err = (rl_error){0};
    put_input(data, size);
    parse();
    if (say) fprintf(stderr, "%s\n", err.message[0] ? err.message : "read");
    return 0;
}
