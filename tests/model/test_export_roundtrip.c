/* A saved folder is a Hugging Face model: AutoModelForTokenClassification loads it to our logits within 1e-5, nothing
 * missing or unexpected. Runs export_roundtrip.py under $RELEARN_PYTHON (default python3).
 *
 * LABELS: golden
 * TIMEOUT: 300 */
#include "model_support.h"

#include <sys/wait.h>

static void put_rows(const char *folder, const owned_batch *b, const float *logits, int64_t K)
{
    rl_buffer ids = {0}, rows = {0};
    rl_error err = {0};
    assert_ok(rl_buffer_printf(&ids, &err, "{\"ids\": ["), err);
    for (int64_t s = 0; s < b->batch.num_sentences; s++) {
        assert_ok(rl_buffer_printf(&ids, &err, s ? ", [" : "["), err);
        for (int32_t t = b->start[s]; t < b->start[s + 1]; t++)
            assert_ok(rl_buffer_printf(&ids, &err, "%s%d", t > b->start[s] ? ", " : "", b->ids[t]), err);
        assert_ok(rl_buffer_printf(&ids, &err, "]"), err);
    }
    assert_ok(rl_buffer_printf(&ids, &err, "]}"), err);
    for (int64_t i = 0; i < b->batch.num_tokens * K; i++)
        assert_ok(rl_buffer_printf(&rows, &err, "%s%.9g",
                                   i == 0  ? "{\"logits\": [["
                                   : i % K ? ", "
                                           : "], [",
                                   (double)logits[i]),
                  err);
    assert_ok(rl_buffer_printf(&rows, &err, "]]}"), err);
    write_in(folder, "ids.json", ids.data);
    write_in(folder, "logits.json", rows.data);
    rl_buffer_free(&ids);
    rl_buffer_free(&rows);
}

/* The script's exit status on this model, saved with this tokenizer. */
static int round_trip(const rl_model *model, const owned_batch *b, const char *tokenizer, float nudge)
{
    const char *python = getenv("RELEARN_PYTHON"), *folder = new_folder("export");
    char command[8192], saved[4200];
    rl_error err = {0};
    rl_workspace *w = workspace_for(model, b, false);
    float *logits = (float *)(uintptr_t)rl_model_forward(model, w, &b->batch, NULL);
    snprintf(saved, sizeof saved, "%s/saved", folder);
    assert_ok(rl_model_save(model, saved, tokenizer, &err), err);
    logits[3] += nudge;
    put_rows(folder, b, logits, model->config.num_labels);
    snprintf(command, sizeof command, "%s '%s' --folder '%s' --ids '%s/ids.json' --logits '%s/logits.json' 2>&1",
             python ? python : "python3", support_file("model/export_roundtrip.py"), saved, folder, folder);
    fflush(stdout);
    int status = system(command);
    rl_workspace_free(w);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static void test_golden_folders(void **state)
{
    static const char *const cases[] = {"bert_bf16_sharded", "distilbert_f16_no_prefix", "gpt2_f16_no_prefix",
                                        "roberta_f32", "electra_f32"};
    (void)state;
    for (int i = 0; i < 5; i++) {
        rl_model *model = NULL;
        rl_error err = {0};
        json_t *golden = NULL;
        owned_batch b;
        char folder[4096], path[4200];
        snprintf(folder, sizeof folder, "%s/%s", support_file("golden/model"), cases[i]);
        snprintf(path, sizeof path, "%s/golden.json", folder);
        assert_ok(rl_model_load(&model, folder, NULL, 0, &err), err);
        assert_ok(rl_json_read(&golden, path, &err), err);
        batch_from_json(&b, golden);
        int status = round_trip(model, &b, NULL, 0);
        if (status == 77)
            support_skip_program("torch and transformers are not importable by python3 (or $RELEARN_PYTHON)");
        assert_int_equal(status, 0);
        if (i == 0) assert_int_equal(round_trip(model, &b, NULL, 1e-3f), 1); /* the script can fail */
        json_decref(golden);
        rl_model_free(model);
    }
}

/* A new head on a base model: the folder's config.json says BertModel and has no id2label before. */
static void test_minilm_with_new_head(void **state)
{
    rl_model *model = NULL;
    rl_names *labels = NULL;
    rl_error err = {0};
    json_t *golden = NULL;
    owned_batch b;
    (void)state;
    if (!support_minilm()) skip();
    assert_ok(rl_names_create(&labels, &err), err);
    for (int32_t i = 0, id; i < 12; i++) { /* more than ten: "10" sorts before "2" */
        char name[8];
        snprintf(name, sizeof name, "L%d", i);
        assert_ok(rl_names_intern(labels, name, strlen(name), &id, &err), err);
    }
    assert_ok(rl_model_load(&model, support_minilm(), labels, 3, &err), err);
    assert_ok(rl_json_read(&golden, support_file("golden/model/minilm.json"), &err), err);
    batch_from_json(&b, golden);
    assert_int_equal(round_trip(model, &b, support_minilm(), 0), 0);
    json_decref(golden);
    rl_names_free(labels);
    rl_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_golden_folders),
                                       cmocka_unit_test(test_minilm_with_new_head)};
    return cmocka_run_group_tests(tests, start_linalg, NULL);
}
