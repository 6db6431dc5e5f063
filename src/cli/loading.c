/* loading.c -- what the single-purpose commands share. */
#include "cli.h"

void rl_ner_data_free(rl_ner_data *data)
{
    rl_encoded_free(data->encoded);
    rl_corpus_free(data->corpus);
    rl_tokenizer_free(data->tokenizer);
    *data = (rl_ner_data){0};
}

rl_status rl_ner_data_load(rl_ner_data *data, const char *folder, const char *file, const rl_names *labels, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t limit = 0;
    RL_TRY(rl_tokenizer_load(&data->tokenizer, folder, err));
    RL_TRY(rl_model_sequence_limit(&limit, folder, data->tokenizer, err));
    RL_TRY(rl_conll_read(&data->corpus, file, labels, 0, err));
    RL_TRY(rl_encode_corpus(&data->encoded, data->tokenizer, data->corpus, true, limit, err));
cleanup:
    return status;
}
