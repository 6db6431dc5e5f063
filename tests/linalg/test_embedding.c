/* Embeddings: three rows added per token; gradients add up per row, untouched rows and the padding row are zero. */
#include "linalg_cases.h"

enum { V = 6, P = 5, TYPES = 2, C = 19, B = 2, T = 5 };
static const int32_t start[B + 1] = {0, 3, 5}, ids[T] = {4, 0, 4, 2, 4};
static const int32_t positions[T] = {0, 1, 2, 0, 1};

static void test_forward_adds_word_position_and_type(void **state)
{
    static float word[V * C], position[P * C], type[TYPES * C], sum[T * C];
    (void)state;
    fill_numbers(word, V * C, 1.0f, 1);
    fill_numbers(position, P * C, 1.0f, 2);
    fill_numbers(type, TYPES * C, 1.0f, 3);
    for (int with_type = 0; with_type < 2; with_type++) {
        rl_embedding_forward(sum, word, position, with_type ? type : NULL, ids, start, B, C);
        for (int t = 0; t < T; t++)
            for (int c = 0; c < C; c++)
                assert_close(sum[t * C + c],
                             (double)word[ids[t] * C + c] + position[positions[t] * C + c] +
                                 (with_type ? type[c] : 0.0f),
                             0, 3e-7);
    }
}

static void check_gradients(const float *dword, const float *dposition, const float *dtype, const float *dsum,
                            int32_t pad)
{
    for (int c = 0; c < C; c++) {
        double words[V] = {0}, places[P] = {0}, all = 0.0;
        for (int t = 0; t < T; t++) {
            if (ids[t] != pad) words[ids[t]] += dsum[t * C + c];
            places[positions[t]] += dsum[t * C + c];
            all += dsum[t * C + c];
        }
        for (int v = 0; v < V; v++) assert_close(dword[v * C + c], words[v], 0, 5e-7);
        for (int p = 0; p < P; p++) assert_close(dposition[p * C + c], places[p], 0, 5e-7);
        if (!dtype) continue;
        assert_close(dtype[c], all, 0, 1e-6);
        assert_true(dtype[C + c] == 0.0f);
    }
}

static void test_backward_writes_every_row(void **state)
{
    static float dword[V * C], dposition[P * C], dtype[TYPES * C], dsum[T * C];
    (void)state;
    fill_numbers(dsum, T * C, 1.0f, 4);
    for (int32_t pad = -1; pad <= 0; pad++)
        for (int with_type = 0; with_type < 2; with_type++) {
            for (int i = 0; i < V * C; i++) dword[i] = NAN; /* written, not accumulated */
            for (int i = 0; i < P * C; i++) dposition[i] = NAN;
            for (int i = 0; i < TYPES * C; i++) dtype[i] = NAN;
            rl_embedding_backward(dword, dposition, with_type ? dtype : NULL, TYPES, dsum, ids, start, B, C, V, P, pad,
                                  NULL, 0);
            check_gradients(dword, dposition, with_type ? dtype : NULL, dsum, pad);
        }
}

/* With rows given, theirs alone are written. */
static void test_backward_writes_the_rows_it_is_given(void **state)
{
    static float dword[V * C], all[V * C], dposition[P * C], dsum[T * C];
    const int32_t rows[] = {4, 0, 2};
    (void)state;
    fill_numbers(dsum, T * C, 1.0f, 4);
    for (int i = 0; i < V * C; i++) dword[i] = 77.0f;
    rl_embedding_backward(all, dposition, NULL, TYPES, dsum, ids, start, B, C, V, P, -1, NULL, 0);
    rl_embedding_backward(dword, dposition, NULL, TYPES, dsum, ids, start, B, C, V, P, -1, rows, 3);
    for (int v = 0; v < V; v++)
        for (int c = 0; c < C; c++)
            assert_true(dword[v * C + c] == (v == 4 || v == 0 || v == 2 ? all[v * C + c] : 77.0f));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_forward_adds_word_position_and_type),
                                       cmocka_unit_test(test_backward_writes_every_row),
                                       cmocka_unit_test(test_backward_writes_the_rows_it_is_given)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
