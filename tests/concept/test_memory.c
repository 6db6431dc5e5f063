/* An extraction holds one layer's activations, however many layers the model has: what a process grows by is the same for
 * 6 and 24 layers of one width. */
#include "support.h"

#include "relearn/concept.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
int main(void) { support_skip_program("an address sanitizer keeps freed memory resident"); }
#else
enum { SENTENCES = 300, LENGTH = 20, C = 32 };
#define ONE_STATE_MIB (SENTENCES * LENGTH * C * 4 / 1048576.0)

static rl_model *make_model(int layers)
{
    char path[4200], config[600];
    rl_error err = {0};
    rl_model *model = NULL;
    snprintf(path, sizeof path, "%s/config.json", support_temporary_folder());
    snprintf(config, sizeof config,
             "{\"model_type\":\"bert\",\"architectures\":[\"BertForTokenClassification\"],\"vocab_size\":90,"
             "\"hidden_size\":32,\"num_hidden_layers\":%d,\"num_attention_heads\":2,\"intermediate_size\":64,"
             "\"max_position_embeddings\":32,\"type_vocab_size\":2,\"hidden_act\":\"gelu\",\"layer_norm_eps\":1e-12,"
             "\"initializer_range\":0.1,\"pad_token_id\":0,\"relearn_random_init\":3,\"id2label\":{\"0\":\"O\",\"1\":\"X\"}}",
             layers);
    support_write(path, config);
    assert_ok(rl_model_load(&model, support_temporary_folder(), NULL, 0, &err), err);
    return model;
}

static rl_encoded *make_text(void)
{
    rl_error err = {0};
    rl_encoded *x = rl_calloc(1, sizeof *x, &err);
    assert_non_null(x);
    x->num_sentences = SENTENCES;
    x->num_tokens = x->num_words = SENTENCES * LENGTH;
    x->max_length = LENGTH;
    x->sentence_start = rl_calloc(SENTENCES + 1, sizeof *x->sentence_start, &err);
    x->ids = rl_calloc(SENTENCES * LENGTH, sizeof *x->ids, &err);
    x->word = rl_calloc(SENTENCES * LENGTH, sizeof *x->word, &err);
    assert_true(x->sentence_start && x->ids && x->word);
    for (int s = 0; s <= SENTENCES; s++) x->sentence_start[s] = s * LENGTH;
    for (int t = 0; t < SENTENCES * LENGTH; t++) x->ids[t] = 1 + t % 89, x->word[t] = t;
    return x;
}

/* A line "KEY:  N kB" of /proc/self/status, in MiB. */
static double memory(const char *key)
{
    char line[256];
    double kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    if (!file) return 0;
    while (fgets(line, sizeof line, file))
        if (!strncmp(line, key, strlen(key))) sscanf(line + strlen(key), ": %lf", &kib);
    fclose(file);
    return kib / 1024;
}

static rl_status look(void *context, int64_t layer, const float *words, int64_t W, int64_t width, rl_error *err)
{
    (void)layer, (void)err;
    *(float *)context += words[W * width - 1];
    return RL_OK;
}

/* In a child: its high-water mark begins at what it inherits. Negative: the extraction failed. */
static double growth_mib(int layers)
{
    int ends[2];
    double grown = -1;
    rl_model *model = make_model(layers);
    rl_encoded *text = make_text();
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        rl_error err = {0};
        float last = 0;
        double before = memory("VmRSS");
        if (rl_activations_visit(model, text, look, &last, &err) == RL_OK) grown = memory("VmHWM") - before;
        _exit(write(ends[1], &grown, sizeof grown) == (ssize_t)sizeof grown ? 0 : 1);
    }
    assert_int_equal(read(ends[0], &grown, sizeof grown), sizeof grown);
    waitpid(child, NULL, 0);
    close(ends[0]);
    close(ends[1]);
    rl_encoded_free(text);
    rl_model_free(model);
    return grown;
}

static void test_memory_does_not_grow_with_layers(void **state)
{
    (void)state;
    rl_error err = {0};
    if (memory("VmHWM") <= 0) skip(); /* no /proc */
    assert_ok(rl_linalg_init(NULL, &err), err);
    double shallow = growth_mib(6), deep = growth_mib(24);
    print_message("grown by %.1f MiB with 6 layers, %.1f with 24; one hidden state has %.2f\n", shallow, deep, ONE_STATE_MIB);
    assert_true(shallow > 0 && deep > 0);
    assert_true(deep - shallow < 4 * ONE_STATE_MIB); /* all 18 more would be 18 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_memory_does_not_grow_with_layers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
