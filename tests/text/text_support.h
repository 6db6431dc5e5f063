/* text_support.h -- small files on the fly, and readers tried on them. */
#ifndef TEXT_SUPPORT_H
#define TEXT_SUPPORT_H

#include "relearn/text.h"
#include "support.h"

/* Write `bytes` to a file of the test's own folder and return its path (valid until the next call with this name). */
static inline const char *a_file(const char *name, const void *bytes, size_t length)
{
    static char path[8][512];
    static int next;
    char *p = path[next++ % 8];
    FILE *file;
    snprintf(p, 512, "%s/%s", support_temporary_folder(), name);
    file = fopen(p, "wb");
    if (!file || fwrite(bytes, 1, length, file) != length || fclose(file)) abort();
    return p;
}

#define A_FILE(name, text) a_file((name), (text), sizeof(text) - 1) /* NUL bytes inside are kept */

static inline const char *word_of(const rl_corpus *corpus, int64_t w)
{
    return rl_names_get(corpus->words, corpus->word[w]);
}
static inline const char *label_of(const rl_corpus *corpus, int64_t w)
{
    return rl_names_get(corpus->labels, corpus->label[w]);
}

/* The labels of a corpus as one string, sentences separated by " / ". */
static inline const char *all_labels(const rl_corpus *corpus)
{
    static char text[4096];
    size_t used = 0;
    for (int64_t s = 0; s < corpus->num_sentences; s++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "%s", s ? "/ " : "");
        for (int64_t w = corpus->sentence_start[s]; w < corpus->sentence_start[s + 1]; w++)
            used += (size_t)snprintf(text + used, sizeof text - used, "%s ", label_of(corpus, w));
    }
    if (used) text[used - 1] = '\0';
    return text;
}

/* A fresh folder of files: (name, text) pairs. */
static inline const char *a_folder(const char *const *files)
{
    static char path[512];
    static int number;
    char file[600];
    snprintf(path, sizeof path, "%s/f%d", support_temporary_folder(), number++);
    assert_int_equal(rl_make_directories(path, NULL), RL_OK);
    for (; *files; files += 2) {
        snprintf(file, sizeof file, "%s/%s", path, files[0]);
        support_write(file, files[1]);
    }
    return path;
}
#define FOLDER(...) a_folder((const char *const[]){__VA_ARGS__, NULL})

/* The folder's tokenizer is refused with this in the message. */
static inline void folder_refused(const char *path, const char *message)
{
    rl_tokenizer *tokenizer = NULL;
    rl_error err;
    assert_fails(rl_tokenizer_load(&tokenizer, path, &err), RL_ERR_INPUT, err, message);
    assert_null(tokenizer);
}

#endif
