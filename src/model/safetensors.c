/* safetensors.c -- read and write the safetensors format, trusting nothing in it.
 *
 *   u64 little-endian N | N bytes of JSON {name: {dtype, shape, data_offsets: [begin, end]}} | data
 *
 * Source: github.com/huggingface/safetensors "Format". As there: the header starts with '{', the spans are in bounds,
 * don't overlap and leave no hole, and each is exactly shape x dtype long. */
#include "model_internal.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "F32 values are copied as they lie in memory");

#define MAX_HEADER (UINT64_C(100) << 20) /* as the reference implementation */

static const struct {
    const char *name;
    int64_t bytes;
    rl_dtype dtype;
} dtypes[] = {{"F32", 4, RL_DTYPE_F32},       {"F16", 2, RL_DTYPE_F16},       {"BF16", 2, RL_DTYPE_BF16},
              {"BOOL", 1, RL_DTYPE_OTHER},    {"U8", 1, RL_DTYPE_OTHER},      {"I8", 1, RL_DTYPE_OTHER},
              {"F8_E5M2", 1, RL_DTYPE_OTHER}, {"F8_E4M3", 1, RL_DTYPE_OTHER}, {"I16", 2, RL_DTYPE_OTHER},
              {"U16", 2, RL_DTYPE_OTHER},     {"I32", 4, RL_DTYPE_OTHER},     {"U32", 4, RL_DTYPE_OTHER},
              {"F64", 8, RL_DTYPE_OTHER},     {"I64", 8, RL_DTYPE_OTHER},     {"U64", 8, RL_DTYPE_OTHER},
              {"C64", 8, RL_DTYPE_OTHER}};
#define NUM_DTYPES (sizeof dtypes / sizeof *dtypes)

/* ----------------------------------------------------------------------------------------------- reading */

static uint64_t little_endian_u64(const char *bytes)
{
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--) value = value << 8 | (unsigned char)bytes[i];
    return value;
}

static rl_status read_header_length(uint64_t *length, const rl_file_view *file, const char *path, rl_error *err)
{
    if (file->size < 8)
        return rl_fail_at(err, RL_ERR_INPUT, path, 0, 0,
                          "is %zu bytes long; expected a safetensors file, which starts with 8 bytes of header length",
                          file->size);
    *length = little_endian_u64(file->data);
    if (*length > file->size - 8 || *length > MAX_HEADER)
        return rl_fail_at(err, RL_ERR_INPUT, path, 0, 0,
                          "states a header of %llu bytes; expected at most the %zu bytes that follow (truncated, or "
                          "not a safetensors file)",
                          (unsigned long long)*length, file->size - 8);
    return RL_OK;
}

static rl_status parse_header(rl_safetensors *out, const char *path, uint64_t length, rl_error *err)
{
    json_error_t problem;
    const char *text = out->file.data + 8;
    if (length == 0 || text[0] != '{')
        return rl_fail_at(err, RL_ERR_INPUT, path, 0, 0,
                          "the header does not start with '{'; expected a safetensors file");
    out->header = json_loadb(text, (size_t)length, JSON_REJECT_DUPLICATES, &problem);
    if (!out->header)
        return rl_fail_at(err, RL_ERR_INPUT, path, 0, 0, "the header is not JSON at byte %d: %s", 8 + problem.position,
                          problem.text);
    return RL_OK;
}

static rl_status read_dtype(rl_tensor_view *tensor, int64_t *bytes, const json_t *entry, rl_error *err)
{
    const json_t *value = json_object_get(entry, "dtype");
    if (!json_is_string(value))
        return rl_fail_at(err, RL_ERR_INPUT, tensor->file, 0, 0, "tensor \"%.128s\" has no dtype string", tensor->name);
    tensor->dtype_name = json_string_value(value);
    for (size_t i = 0; i < NUM_DTYPES; i++) {
        if (strcmp(dtypes[i].name, tensor->dtype_name) != 0) continue;
        tensor->dtype = dtypes[i].dtype;
        *bytes = dtypes[i].bytes;
        return RL_OK;
    }
    return rl_fail_at(err, RL_ERR_INPUT, tensor->file, 0, 0,
                      "tensor \"%.128s\" has the unknown dtype \"%.32s\"; expected F32, F16 or BF16", tensor->name,
                      tensor->dtype_name);
}

static rl_status read_shape(rl_tensor_view *tensor, const json_t *entry, rl_error *err)
{
    const json_t *shape = json_object_get(entry, "shape");
    if (!json_is_array(shape) || json_array_size(shape) > RL_TENSOR_MAX_DIMS)
        return rl_fail_at(err, RL_ERR_INPUT, tensor->file, 0, 0,
                          "tensor \"%.128s\" has no shape; expected an array of at most %d sizes", tensor->name,
                          RL_TENSOR_MAX_DIMS);
    tensor->num_dims = (int)json_array_size(shape);
    tensor->count = 1;
    for (int i = 0; i < tensor->num_dims; i++) {
        const json_t *size = json_array_get(shape, (size_t)i);
        if (!json_is_integer(size) || json_integer_value(size) < 0)
            return rl_fail_at(err, RL_ERR_INPUT, tensor->file, 0, 0,
                              "tensor \"%.128s\": size %d of its shape is not an integer >= 0", tensor->name, i);
        tensor->shape[i] = json_integer_value(size);
        if (__builtin_mul_overflow(tensor->count, tensor->shape[i], &tensor->count))
            return rl_fail_at(err, RL_ERR_INPUT, tensor->file, 0, 0, "tensor \"%.128s\": its shape overflows",
                              tensor->name);
    }
    return RL_OK;
}

static rl_status read_span(rl_tensor_view *tensor, const json_t *entry, int64_t dtype_bytes, size_t data_size,
                           rl_error *err)
{
    const json_t *span = json_object_get(entry, "data_offsets");
    const json_t *first = json_array_get(span, 0), *last = json_array_get(span, 1);
    int64_t begin, end, expected;
    if (json_array_size(span) != 2 || !json_is_integer(first) || !json_is_integer(last))
        return rl_fail_at(err, RL_ERR_INPUT, tensor->file, 0, 0,
                          "tensor \"%.128s\" has no data_offsets; expected two integers [begin, end]", tensor->name);
    begin = json_integer_value(first);
    end = json_integer_value(last);
    if (begin < 0 || end < begin || (uint64_t)end > data_size)
        return rl_fail_at(err, RL_ERR_INPUT, tensor->file, 0, 0,
                          "tensor \"%.128s\": data_offsets [%lld, %lld] lie outside the file's %zu data bytes",
                          tensor->name, (long long)begin, (long long)end, data_size);
    if (__builtin_mul_overflow(tensor->count, dtype_bytes, &expected) || end - begin != expected)
        return rl_fail_at(err, RL_ERR_INPUT, tensor->file, 0, 0,
                          "tensor \"%.128s\": data_offsets span %lld bytes; expected %lld values of %s", tensor->name,
                          (long long)(end - begin), (long long)tensor->count, tensor->dtype_name);
    tensor->begin = (size_t)begin;
    tensor->size = (size_t)(end - begin);
    return RL_OK;
}

static rl_status read_tensors(rl_safetensors *out, const char *data, size_t data_size, rl_error *err)
{
    rl_status status = RL_OK;
    const char *name;
    json_t *entry;
    RL_ALLOC(out->tensors, json_object_size(out->header), err);
    json_object_foreach(out->header, name, entry)
    {
        rl_tensor_view *tensor = &out->tensors[out->num_tensors];
        int64_t dtype_bytes = 0;
        if (strcmp(name, "__metadata__") == 0) continue;
        tensor->name = name;
        tensor->file = out->path;
        if (!json_is_object(entry))
            return rl_fail_at(err, RL_ERR_INPUT, out->path, 0, 0, "tensor \"%.128s\" is not described by an object",
                              name);
        RL_TRY(read_dtype(tensor, &dtype_bytes, entry, err));
        RL_TRY(read_shape(tensor, entry, err));
        RL_TRY(read_span(tensor, entry, dtype_bytes, data_size, err));
        tensor->data = data + tensor->begin;
        out->num_tensors++;
    }
cleanup:
    return status;
}

static int by_offset(const void *a, const void *b)
{
    const rl_tensor_view *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    if (x->size != y->size) return x->size < y->size ? -1 : 1; /* empty tensors first, so that they don't overlap */
    return strcmp(x->name, y->name);
}

/* In order of offset each span must begin where the last one ended, and the last must end with the file. */
static rl_status check_coverage(rl_safetensors *out, size_t data_size, rl_error *err)
{
    size_t end = 0;
    if (out->num_tensors > 1) qsort(out->tensors, out->num_tensors, sizeof *out->tensors, by_offset);
    for (size_t i = 0; i < out->num_tensors; i++) {
        const rl_tensor_view *tensor = &out->tensors[i];
        if (tensor->begin != end)
            return rl_fail_at(err, RL_ERR_INPUT, out->path, 0, 0,
                              "tensor \"%.128s\" begins at data byte %zu; expected %zu (%s)", tensor->name,
                              tensor->begin, end,
                              tensor->begin < end ? "it overlaps the tensor before it" : "bytes that no tensor owns");
        end += tensor->size;
    }
    if (end != data_size)
        return rl_fail_at(err, RL_ERR_INPUT, out->path, 0, 0,
                          "its tensors end at data byte %zu; expected %zu, the end of the file", end, data_size);
    return RL_OK;
}

rl_status rl_safetensors_open(rl_safetensors *out, const char *path, rl_error *err)
{
    rl_status status = RL_OK;
    rl_safetensors file = {0};
    uint64_t length = 0;
    file.path = rl_strdup(path, err);
    if (!file.path) return RL_ERR_MEMORY;
    RL_TRY(rl_file_view_open(&file.file, path, err));
    RL_TRY(read_header_length(&length, &file.file, path, err));
    RL_TRY(parse_header(&file, path, length, err));
    RL_TRY(read_tensors(&file, file.file.data + 8 + length, file.file.size - 8 - (size_t)length, err));
    RL_TRY(check_coverage(&file, file.file.size - 8 - (size_t)length, err));
    *out = file;
    return RL_OK;
cleanup:
    rl_safetensors_close(&file);
    return status;
}

void rl_safetensors_close(rl_safetensors *file)
{
    if (!file) return;
    rl_free(file->tensors);
    json_decref(file->header);
    rl_file_view_close(&file->file);
    rl_free(file->path);
    memset(file, 0, sizeof *file);
}

/* -------------------------------------------------------------------------------------------- conversion */

static float float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* IEEE 754 binary16. A denormal is mantissa x 2^-24, which float32 holds exactly. */
float rl_half_to_float(uint16_t bits)
{
    uint32_t sign = (uint32_t)(bits & 0x8000u) << 16, exponent = bits >> 10 & 31u, mantissa = bits & 0x3ffu;
    if (exponent == 31) return float_of_bits(sign | 0x7f800000u | mantissa << 13); /* infinity, NaN */
    if (exponent == 0) return (sign ? -1.0f : 1.0f) * (float)mantissa * 0x1p-24f;
    return float_of_bits(sign | (exponent + 112u) << 23 | mantissa << 13);
}

void rl_tensor_to_float(float *values, const rl_tensor_view *tensor)
{
    const unsigned char *bytes = (const unsigned char *)tensor->data;
    if (tensor->dtype == RL_DTYPE_F32) {
        memcpy(values, bytes, tensor->size);
        return;
    }
    for (int64_t i = 0; i < tensor->count; i++, bytes += 2) {
        uint16_t bits = (uint16_t)(bytes[0] | bytes[1] << 8);
        values[i] = tensor->dtype == RL_DTYPE_F16 ? rl_half_to_float(bits) : float_of_bits((uint32_t)bits << 16);
    }
}

/* ----------------------------------------------------------------------------------------------- writing */

static int by_name(const void *a, const void *b)
{
    const rl_parameter *x = *(const rl_parameter *const *)a, *y = *(const rl_parameter *const *)b;
    return strcmp(x->name, y->name);
}

static rl_status write_header(rl_buffer *out, const rl_parameter *const *sorted, int64_t n, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t offset = 0;
    size_t length;
    RL_TRY(rl_buffer_append(out, "\0\0\0\0\0\0\0\0", 8, err)); /* the length, known at the end */
    RL_TRY(rl_buffer_printf(out, err, "{\"__metadata__\":{\"format\":\"pt\"}"));
    for (int64_t i = 0; i < n; i++) { /* names come from the architecture table: nothing to escape */
        const rl_parameter *p = sorted[i];
        RL_TRY(
            rl_buffer_printf(out, err, ",\"%s\":{\"dtype\":\"F32\",\"shape\":[%lld", p->name, (long long)p->shape[0]));
        if (p->num_dims == 2) RL_TRY(rl_buffer_printf(out, err, ",%lld", (long long)p->shape[1]));
        RL_TRY(rl_buffer_printf(out, err, "],\"data_offsets\":[%lld,%lld]}", (long long)offset,
                                (long long)(offset + 4 * p->count)));
        offset += 4 * p->count;
    }
    RL_TRY(rl_buffer_append(out, "}", 1, err));
    while (out->length % 8)
        RL_TRY(rl_buffer_append(out, " ", 1, err)); /* data starts 8-byte aligned, as the format asks */
    length = out->length - 8;
    for (int i = 0; i < 8; i++) out->data[i] = (char)(length >> 8 * i & 255);
cleanup:
    return status;
}

rl_status rl_safetensors_write(const char *path, const rl_model *model, rl_error *err)
{
    rl_status status = RL_OK;
    rl_buffer header = {0};
    const rl_parameter **sorted = NULL;
    rl_atomic_file file = {.descriptor = -1};
    RL_ALLOC(sorted, model->num_parameters, err);
    for (int64_t i = 0; i < model->num_parameters; i++) sorted[i] = &model->parameters[i];
    qsort(sorted, (size_t)model->num_parameters, sizeof *sorted, by_name);
    RL_TRY(write_header(&header, sorted, model->num_parameters, err));
    RL_TRY(rl_atomic_begin(&file, path, err));
    RL_TRY(rl_atomic_write(&file, header.data, header.length, err));
    for (int64_t i = 0; i < model->num_parameters; i++)
        RL_TRY(rl_atomic_write(&file, model->weights + sorted[i]->offset, 4 * (size_t)sorted[i]->count, err));
    RL_TRY(rl_atomic_commit(&file, err));
cleanup:
    if (status != RL_OK && file.path) rl_atomic_abandon(&file);
    rl_free(sorted);
    rl_buffer_free(&header);
    return status;
}
