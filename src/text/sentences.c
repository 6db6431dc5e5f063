/* sentences.c -- plain text, one sentence a line, words between blanks: what word lists and patterns look at. */
#include "text_internal.h"

#include <string.h>

static rl_status add_words(text_builder *builder, const char *line, size_t length, int32_t label, rl_error *err)
{
    rl_status status = RL_OK;
    bool any = false;
    for (size_t at = 0, end; at < length && status == RL_OK; at = end + 1) {
        for (end = at; end < length && line[end] != ' ' && line[end] != '\t' && line[end] != '\r';) end++;
        if (end == at) continue;
        status = text_builder_word(builder, line + at, end - at, label, err);
        any = true;
    }
    return status == RL_OK && any ? text_builder_end_sentence(builder, err) : status;
}

rl_status rl_sentences_read(rl_corpus **out, const char *path, rl_error *err)
{
    rl_status status = RL_OK;
    text_lines lines = {0};
    text_builder builder = {0};
    int32_t label = 0;
    RL_TRY(text_lines_open(&lines, path, err));
    RL_TRY(text_builder_create(&builder, path, err));
    RL_TRY(rl_names_intern(builder.corpus->labels, "", 0, &label, err));
    for (bool more;;) {
        RL_TRY(text_lines_next(&lines, &more, err));
        if (!more) break;
        RL_TRY(add_words(&builder, lines.line, lines.length, label, err));
    }
    if (builder.corpus->num_sentences == 0) {
        status = rl_fail(err, RL_ERR_INPUT, "%s: no sentence; one a line was expected", path);
        goto cleanup;
    }
    *out = builder.corpus;
    builder.corpus = NULL;
cleanup:
    rl_corpus_free(builder.corpus);
    text_lines_close(&lines);
    return status;
}
