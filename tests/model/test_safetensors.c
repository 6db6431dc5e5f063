/* The safetensors reader trusts nothing: every way a file can lie is one line naming it, never a read outside the
 * mapping (asan). F16 and BF16 conversion over all 65,536 values.
 *
 * LABELS: unit */
#include "model_support.h"

#define TRUE_LENGTH (UINT64_MAX / 3)

/* A file of a header and data_size zero bytes, stating header_length (TRUE_LENGTH: the right one). */
static const char *file_of(const char *header, uint64_t header_length, size_t data_size)
{
    static char path[4200];
    const char *folder = new_folder("st");
    size_t length = strlen(header);
    uint64_t stated = header_length == TRUE_LENGTH ? length : header_length;
    char *bytes = calloc(8 + length + data_size, 1);
    for (int i = 0; i < 8; i++) bytes[i] = (char)(stated >> 8 * i & 255);
    memcpy(bytes + 8, header, length);
    write_bytes(folder, "x.safetensors", bytes, 8 + length + data_size);
    snprintf(path, sizeof path, "%s/x.safetensors", folder);
    free(bytes);
    return path;
}

static void refuses_length(const char *header, uint64_t header_length, size_t data_size, const char *part)
{
    rl_error err = {0};
    rl_safetensors file = {0};
    const char *path = file_of(header, header_length, data_size);
    assert_fails(rl_safetensors_open(&file, path, &err), RL_ERR_INPUT, err, part);
    assert_int_equal(strncmp(err.message, path, strlen(path)), 0);
    assert_null(file.header);
}

static void refuses(const char *header, size_t data_size, const char *part)
{
    refuses_length(header, TRUE_LENGTH, data_size, part);
}

#define A_0_8 "\"a\": {\"dtype\": \"F32\", \"shape\": [2], \"data_offsets\": [0, 8]}"

static void test_sizes_and_json(void **state)
{
    rl_error err = {0};
    rl_safetensors file = {0};
    const char *folder = new_folder("st");
    char path[4200];
    (void)state;
    snprintf(path, sizeof path, "%s/empty", folder);
    support_write(path, "");
    assert_fails(rl_safetensors_open(&file, path, &err), RL_ERR_INPUT, err, "is 0 bytes long");
    support_write(path, "1234567");
    assert_fails(rl_safetensors_open(&file, path, &err), RL_ERR_INPUT, err, "is 7 bytes long");
    refuses_length("{" A_0_8 "}", 1000, 8, "states a header of 1000 bytes; expected at most the");
    refuses_length("{" A_0_8 "}", UINT64_MAX, 8, "states a header of 18446744073709551615 bytes");
    refuses_length("{" A_0_8 "}", sizeof "{" A_0_8 "}" - 1 + 9, 8, "states a header"); /* one byte beyond the end */
    refuses_length("{}", INT64_MAX, 0, "states a header of 9223372036854775807 bytes");
    refuses_length("{" A_0_8 "}", 0, 8, "does not start with '{'");
    refuses("[1]", 0, "does not start with '{'");
    refuses(" {}", 0, "does not start with '{'");
    refuses("{\"a\": }", 0, "the header is not JSON at byte");
    refuses("{\"a\": 1", 0, "the header is not JSON");
    refuses("{" A_0_8 ", " A_0_8 "}", 8, "the header is not JSON");
    refuses("{\"\xff\": 1}", 0, "the header is not JSON");
    refuses("{\"a\": [0, 8]}", 8, "tensor \"a\" is not described by an object");
}

static void test_entries(void **state)
{
    (void)state;
    refuses("{\"a\": {\"shape\": [2], \"data_offsets\": [0, 8]}}", 8, "tensor \"a\" has no dtype");
    refuses("{\"a\": {\"dtype\": 32, \"shape\": [2], \"data_offsets\": [0, 8]}}", 8, "no dtype");
    refuses("{\"a\": {\"dtype\": \"F31\", \"shape\": [2], \"data_offsets\": [0, 8]}}", 8, "unknown dtype \"F31\"");
    refuses("{\"a\": {\"dtype\": \"F32\", \"data_offsets\": [0, 8]}}", 8, "has no shape");
    refuses("{\"a\": {\"dtype\": \"F32\", \"shape\": 2, \"data_offsets\": [0, 8]}}", 8, "has no shape");
    refuses("{\"a\": {\"dtype\": \"F32\", \"shape\": [2.0], \"data_offsets\": [0, 8]}}", 8, "size 0 of its shape");
    refuses("{\"a\": {\"dtype\": \"F32\", \"shape\": [1, -2], \"data_offsets\": [0, 8]}}", 8, "size 1 of its shape");
    refuses("{\"a\": {\"dtype\": \"F32\", \"shape\": [1,1,1,1,1,1,1,1,2], \"data_offsets\": [0, 8]}}", 8,
            "at most 8 sizes");
    refuses("{\"a\": {\"dtype\": \"F32\", \"shape\": [4294967296, 4294967296], \"data_offsets\": [0, 8]}}", 8,
            "its shape overflows");
    refuses("{\"a\": {\"dtype\": \"F32\", \"shape\": [4611686018427387904], \"data_offsets\": [0, 0]}}", 0,
            "span 0 bytes");
    refuses("{\"a\": {\"dtype\": \"F32\", \"shape\": [2]}}", 8, "has no data_offsets");
    refuses("{\"a\": {\"dtype\": \"F32\", \"shape\": [2], \"data_offsets\": [0]}}", 8, "has no data_offsets");
    refuses("{\"a\": {\"dtype\": \"F32\", \"shape\": [2], \"data_offsets\": [0, \"8\"]}}", 8, "has no data_offsets");
    refuses("{\"a\": {\"dtype\": \"F32\", \"shape\": [2], \"data_offsets\": [0, 12]}}", 8,
            "[0, 12] lie outside the file's 8 data bytes");
    refuses("{\"a\": {\"dtype\": \"F32\", \"shape\": [2], \"data_offsets\": [-8, 0]}}", 8, "lie outside");
    refuses("{\"a\": {\"dtype\": \"F32\", \"shape\": [2], \"data_offsets\": [8, 0]}}", 8, "lie outside");
    refuses("{\"a\": {\"dtype\": \"F32\", \"shape\": [3], \"data_offsets\": [0, 8]}}", 8,
            "span 8 bytes; expected 3 values of F32");
    refuses("{\"a\": {\"dtype\": \"F16\", \"shape\": [2], \"data_offsets\": [0, 8]}}", 8,
            "span 8 bytes; expected 2 values of F16");
}

static void test_coverage(void **state)
{
    (void)state;
    refuses("{" A_0_8 ", \"b\": {\"dtype\": \"F32\", \"shape\": [2], \"data_offsets\": [4, 12]}}", 12,
            "begins at data byte 4; expected 8 (it overlaps");
    refuses("{" A_0_8 ", \"b\": {\"dtype\": \"F32\", \"shape\": [2], \"data_offsets\": [0, 8]}}", 8, "it overlaps");
    refuses("{" A_0_8 ", \"b\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [12, 16]}}", 16,
            "bytes that no tensor owns");
    refuses("{" A_0_8 "}", 12, "end at data byte 8; expected 12");
    refuses("{}", 4, "end at data byte 0; expected 4");
}

static void test_good_files(void **state)
{
    rl_error err = {0};
    rl_safetensors file = {0};
    (void)state;
    assert_ok(rl_safetensors_open(&file, file_of("{\"__metadata__\": {\"format\": \"pt\"}}   ", TRUE_LENGTH, 0), &err),
              err);
    assert_int_equal(file.num_tensors, 0);
    rl_safetensors_close(&file);
    /* listed out of order, a scalar, and an empty tensor in between */
    assert_ok(
        rl_safetensors_open(&file,
                            file_of("{\"b\": {\"dtype\": \"I64\", \"shape\": [], \"data_offsets\": [8, 16]}, " A_0_8
                                    ", \"e\": {\"dtype\": \"F32\", \"shape\": [0, 3], \"data_offsets\": [8, 8]}}",
                                    TRUE_LENGTH, 16),
                            &err),
        err);
    assert_int_equal(file.num_tensors, 3);
    assert_string_equal(file.tensors[0].name, "a");
    assert_string_equal(file.tensors[1].name, "e");
    assert_int_equal(file.tensors[2].count, 1);
    rl_safetensors_close(&file);
}

/* Every prefix of a good file is refused (or is the whole file): truncation at any byte. */
static void test_every_truncation(void **state)
{
    rl_error err = {0};
    rl_safetensors file = {0};
    const char *folder = new_folder("st"), header[] = "{" A_0_8 "}";
    char bytes[8 + sizeof header - 1 + 8] = {sizeof header - 1}, path[4200];
    (void)state;
    memcpy(bytes + 8, header, sizeof header - 1);
    snprintf(path, sizeof path, "%s/cut", folder);
    for (size_t n = 0; n < sizeof bytes; n++) {
        write_bytes(folder, "cut", bytes, n);
        assert_fails(rl_safetensors_open(&file, path, &err), RL_ERR_INPUT, err, path);
    }
    write_bytes(folder, "cut", bytes, sizeof bytes);
    assert_ok(rl_safetensors_open(&file, path, &err), err);
    rl_safetensors_close(&file);
}

/* A real file with a few header bytes or the length changed at random (seeded): refused with a line or read, never a
 * crash. Data is not touched, so most changes are caught by the checks above; asan watches the rest. */
static void test_random_damage(void **state)
{
    rl_error err = {0};
    rl_file_view view = {0};
    const char *folder = new_folder("damage");
    char path[4200], original[4200];
    int refused = 0;
    (void)state;
    snprintf(original, sizeof original, "%s", support_file("golden/model/distilbert_f16_no_prefix/model.safetensors"));
    snprintf(path, sizeof path, "%s/x.safetensors", folder);
    assert_ok(rl_file_view_open(&view, original, &err), err);
    char *bytes = malloc(view.size);
    size_t header = 8 + (size_t)(unsigned char)view.data[0] + 256 * (size_t)(unsigned char)view.data[1];
    for (uint32_t round = 0; round < 200; round++) {
        rl_safetensors file = {0};
        memcpy(bytes, view.data, view.size);
        for (uint64_t i = 0; i < 1 + round % 3; i++) {
            uint32_t where = rl_rng_bits(1, RL_PURPOSE_BOOTSTRAP, round, 0, i),
                     what = rl_rng_bits(1, RL_PURPOSE_BOOTSTRAP, round, 1, i);
            bytes[where % header] = (char)(round % 2 ? "0123456789[]{},:\"-ef"[what % 20] : (char)what);
        }
        write_bytes(folder, "x.safetensors", bytes, view.size);
        if (rl_safetensors_open(&file, path, &err) != RL_OK) refused++;
        if (!file.header) assert_int_equal(strncmp(err.message, path, strlen(path)), 0);
        rl_safetensors_close(&file);
    }
    assert_true(refused > 100);
    free(bytes);
    rl_file_view_close(&view);
}

/* sign, exponent, mantissa read as IEEE 754 says, in float64. */
static double value_of(uint16_t bits, int exponent_bits, int mantissa_bits)
{
    int bias = (1 << (exponent_bits - 1)) - 1, exponent = bits >> mantissa_bits & ((1 << exponent_bits) - 1);
    double mantissa = (bits & ((1 << mantissa_bits) - 1)) / (double)(1 << mantissa_bits), sign = bits >> 15 ? -1 : 1;
    if (exponent == (1 << exponent_bits) - 1) return mantissa > 0 ? NAN : sign * INFINITY;
    return sign * (exponent ? ldexp(1 + mantissa, exponent - bias) : ldexp(mantissa, 1 - bias));
}

static void test_all_halves(void **state)
{
    static uint16_t bits[65536];
    static float values[65536];
    (void)state;
    for (int bf16 = 0; bf16 < 2; bf16++) {
        for (int i = 0; i < 65536; i++) bits[i] = (uint16_t)i;
        rl_tensor_view view = {
            .dtype = bf16 ? RL_DTYPE_BF16 : RL_DTYPE_F16, .count = 65536, .data = (const char *)bits};
        rl_tensor_to_float(values, &view);
        for (int i = 0; i < 65536; i++) {
            double expected = bf16 ? value_of((uint16_t)i, 8, 7) : value_of((uint16_t)i, 5, 10);
            if (isnan(expected))
                assert_true(isnan(values[i]));
            else
                assert_true((double)values[i] == expected && !signbit(values[i]) == !signbit(expected));
        }
    }
    assert_true(rl_half_to_float(0x3c00) == 1.0f && rl_half_to_float(0x7bff) == 65504.0f &&
                rl_half_to_float(0x0001) == 0x1p-24f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes_and_json),   cmocka_unit_test(test_entries),
        cmocka_unit_test(test_coverage),         cmocka_unit_test(test_good_files),
        cmocka_unit_test(test_every_truncation), cmocka_unit_test(test_random_damage),
        cmocka_unit_test(test_all_halves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
