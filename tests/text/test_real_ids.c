/* Every distinct word of the real files gets Hugging Face's ids, with MiniLM's uncased vocabulary, a small cased one and
 * GPT-2's own byte-level BPE, and whole corpora are packed as transformers encodes them. Digests only: the data stay where they are.
 * LABELS: golden real */
#include "text_support.h"

static json_t *golden;

static uint64_t hex(const json_t *text) { return strtoull(json_string_value(text), NULL, 16); }

/* XXH3-64 over [count, ids...] of words first .. first + chunk - 1. */
static uint64_t chunk_digest(const rl_tokenizer *tokenizer, const rl_names *words, int32_t first, int32_t chunk)
{
    rl_buffer bytes = {0};
    rl_error err;
    for (int32_t w = first; w < first + chunk && w < rl_names_count(words); w++) {
        rl_id_list ids = {0};
        const char *word = rl_names_get(words, w);
        assert_ok(rl_tokenizer_encode_word(tokenizer, word, strlen(word), &ids, &err), err);
        int32_t count = (int32_t)ids.count;
        assert_ok(rl_buffer_append(&bytes, &count, sizeof count, &err), err);
        assert_ok(rl_buffer_append(&bytes, ids.ids, ids.count * sizeof *ids.ids, &err), err);
        rl_free(ids.ids);
    }
    uint64_t digest = rl_hash64(bytes.data, bytes.length);
    rl_buffer_free(&bytes);
    return digest;
}

static void check_words(const rl_tokenizer *tokenizer, const rl_corpus *corpus, const json_t *digests)
{
    int32_t chunk = (int32_t)json_integer_value(json_object_get(golden, "chunk"));
    assert_int_equal(json_array_size(digests), (rl_names_count(corpus->words) + chunk - 1) / chunk);
    for (size_t i = 0; i < json_array_size(digests); i++) {
        bool same =
            chunk_digest(tokenizer, corpus->words, (int32_t)i * chunk, chunk) == hex(json_array_get(digests, i));
        if (!same)
            print_error("%s: ids differ among the words %zu..%zu\n", corpus->path, i * chunk, (i + 1) * chunk - 1);
        assert_true(same);
    }
}

static void check_packed(const rl_tokenizer *tokenizer, const rl_corpus *corpus, int64_t max_length, bool labelled,
                         const json_t *expected)
{
    rl_encoded *e = NULL;
    rl_error err;
    double start = rl_now_s();
    assert_ok(rl_encode_corpus(&e, tokenizer, corpus, labelled, max_length, &err), err);
    print_message("%s: %lld words, %lld tokens in %.3f s\n", corpus->path, (long long)e->num_words,
                  (long long)e->num_tokens, rl_now_s() - start);
    assert_int_equal(e->num_tokens, json_integer_value(json_object_get(expected, "tokens")));
    assert_int_equal(e->max_length, json_integer_value(json_object_get(expected, "longest")));
    assert_true(rl_hash64(e->ids, (size_t)e->num_tokens * sizeof *e->ids) == hex(json_object_get(expected, "ids")));
    if (labelled)
        assert_true(rl_hash64(e->labels, (size_t)e->num_tokens * sizeof *e->labels) ==
                    hex(json_object_get(expected, "labels")));
    int32_t *words = rl_calloc((size_t)e->num_tokens, sizeof *words, &err);
    for (int64_t t = 0; t < e->num_tokens; t++) words[t] = (int32_t)e->word[t];
    assert_true(rl_hash64(words, (size_t)e->num_tokens * sizeof *words) == hex(json_object_get(expected, "words")));
    rl_free(words);
    rl_encoded_free(e);
}

typedef struct tokenizers {
    rl_tokenizer *minilm, *cased, *gpt2, *roberta; /* NULL where the folder is absent */
} tokenizers;

static rl_corpus *read_corpus(const char *name)
{
    rl_corpus *corpus = NULL;
    rl_error err;
    char tokens[64], labels[64];
    snprintf(tokens, sizeof tokens, "%s_tokens.txt", name);
    snprintf(labels, sizeof labels, "%s_labels.txt", name);
    if (strncmp(name, "conll", 5) == 0)
        assert_ok(rl_conll_read(&corpus, support_data(name), NULL, 0, &err), err);
    else
        assert_ok(rl_concept_corpus_read(&corpus, support_data(tokens), support_data(labels), &err), err);
    return corpus;
}

static void check_file(const char *name, const json_t *expected, const tokenizers *all)
{
    rl_corpus *corpus = read_corpus(name);
    bool labelled = strncmp(name, "conll", 5) == 0;
    assert_int_equal(rl_names_count(corpus->words), json_integer_value(json_object_get(expected, "types")));
    check_words(all->cased, corpus, json_object_get(expected, "cased"));
    check_packed(all->roberta, corpus, 64, labelled, json_object_get(expected, "packed_roberta"));
    if (all->minilm) {
        check_words(all->minilm, corpus, json_object_get(expected, "minilm"));
        check_packed(all->minilm, corpus, 512, labelled, json_object_get(expected, "packed"));
        check_packed(all->minilm, corpus, 24, labelled, json_object_get(expected, "cut"));
    }
    if (all->gpt2) {
        check_words(all->gpt2, corpus, json_object_get(expected, "gpt2"));
        check_packed(all->gpt2, corpus, 1024, labelled, json_object_get(expected, "packed_gpt2"));
    }
    rl_corpus_free(corpus);
}

static rl_tokenizer *load(const char *folder, const char *absent)
{
    rl_tokenizer *tokenizer = NULL;
    rl_error err;
    if (folder) assert_ok(rl_tokenizer_load(&tokenizer, folder, &err), err);
    if (!folder) print_message("no %s (./quickstart test fetches it): its ids are not compared\n", absent);
    return tokenizer;
}

static void test_every_word(void **state)
{
    rl_error err;
    tokenizers all = {.minilm = load(support_minilm(), "models/minilm"),
                      .gpt2 = load(support_gpt2_tokenizer(), "models/gpt2-tokenizer"),
                      .cased = load(support_file("golden/text/cased"), ""),
                      .roberta = load(support_file("golden/text/roberta"), "")};
    (void)state;
    assert_ok(rl_json_read(&golden, support_file("golden/text/real.json"), &err), err);
    json_t *files = json_object_get(golden, "files");
    assert_int_equal(json_object_size(files), 5);
    for (void *i = json_object_iter(files); i; i = json_object_iter_next(files, i))
        check_file(json_object_iter_key(i), json_object_iter_value(i), &all);
    json_decref(golden);
    rl_tokenizer_free(all.minilm);
    rl_tokenizer_free(all.gpt2);
    rl_tokenizer_free(all.cased);
    rl_tokenizer_free(all.roberta);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_word)};
    if (!support_data("conll2003/eng.train") || !support_data("concepts/location_tokens.txt"))
        support_skip_program("no ../shared/data (CoNLL-2003, concept corpora)");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
