/* memory.c -- the project's only malloc: aligned, zeroed, overflow-checked; arenas and growing buffers on top. */
#include "relearn/core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define POISON(p, n) ASAN_POISON_MEMORY_REGION(p, n)
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define POISON(p, n) ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#endif

enum { ALIGNMENT = 64 };

static size_t rounded(size_t bytes) { return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

/* Of at least *bytes, which becomes what it is; not zeroed. */
static void *allocate(size_t *bytes, size_t count, size_t size, rl_error *err)
{
    if (__builtin_mul_overflow(count, size, bytes) || *bytes > PTRDIFF_MAX - ALIGNMENT) {
        rl_fail(err, RL_ERR_MEMORY, "out of memory: %zu elements of %zu bytes were asked for", count, size);
        return NULL;
    }
    *bytes = rounded(*bytes ? *bytes : 1);
    void *memory = aligned_alloc(ALIGNMENT, *bytes);
    if (!memory) rl_fail(err, RL_ERR_MEMORY, "out of memory: %zu bytes were asked for", *bytes);
    return memory;
}

void *rl_calloc(size_t count, size_t size, rl_error *err)
{
    size_t bytes;
    void *memory = allocate(&bytes, count, size, err);
    return memory ? memset(memory, 0, bytes) : NULL;
}

void *rl_regrow(void *old, size_t old_count, size_t count, size_t size, rl_error *err)
{
    size_t bytes, kept = old ? (old_count < count ? old_count : count) * size : 0;
    char *grown = allocate(&bytes, count, size, err);
    if (!grown) return NULL;
    if (kept) memcpy(grown, old, kept);
    memset(grown + kept, 0, bytes - kept);
    free(old);
    return grown;
}

void rl_free(void *memory) { free(memory); }

char *rl_strdup(const char *text, rl_error *err)
{
    size_t length = strlen(text) + 1;
    char *copy = rl_calloc(length, 1, err);
    return copy ? memcpy(copy, text, length) : NULL;
}

char *rl_format(rl_error *err, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *text = length < 0 ? NULL : rl_calloc((size_t)length + 1, 1, err);
    if (!text) return NULL;
    va_start(arguments, format);
    vsnprintf(text, (size_t)length + 1, format, arguments);
    va_end(arguments);
    return text;
}

/* ------------------------------------------------------------------------------------------------- arena */

struct rl_arena {
    char name[32];
    char *base;
    size_t bytes, used;
};

/* Zeroed pages that become resident when they are first written: an arena is sized for the worst batch that could occur,
 * and most trainings never meet it. */
static rl_status reserve_pages(rl_arena *arena, size_t bytes, rl_error *err)
{
    void *base = mmap(NULL, bytes ? bytes : ALIGNMENT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) return rl_fail(err, RL_ERR_MEMORY, "out of memory: %zu bytes were asked for", bytes);
    arena->base = base;
    arena->bytes = bytes;
    return RL_OK;
}

rl_status rl_arena_create(rl_arena **out, const char *name, size_t bytes, rl_error *err)
{
    rl_status status = RL_OK;
    rl_arena *arena = NULL;
    RL_ALLOC(arena, 1, err);
    snprintf(arena->name, sizeof arena->name, "%s", name);
    RL_TRY(reserve_pages(arena, rounded(bytes), err));
    POISON(arena->base, arena->bytes);
    *out = arena;
    return RL_OK;
cleanup:
    rl_arena_free(arena);
    return rl_error_while(err, status, "reserving the %s arena", name);
}

size_t rl_arena_span(size_t count, size_t size) { return rounded(count * size); }

void *rl_arena_take(rl_arena *arena, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) return NULL;
    bytes = rounded(bytes);
    if (bytes > arena->bytes - arena->used) return NULL;
    char *span = arena->base + arena->used;
    arena->used += bytes;
    UNPOISON(span, bytes);
    return span;
}

size_t rl_arena_mark(const rl_arena *arena) { return arena->used; }

void rl_arena_release(rl_arena *arena, size_t mark)
{
    POISON(arena->base + mark, arena->used - mark);
    arena->used = mark;
}

size_t rl_arena_bytes(const rl_arena *arena) { return arena->bytes; }

void rl_arena_free(rl_arena *arena)
{
    if (!arena) return;
    if (arena->base) {
        UNPOISON(arena->base, arena->bytes);
        munmap(arena->base, arena->bytes ? arena->bytes : ALIGNMENT);
    }
    rl_free(arena);
}

/* ------------------------------------------------------------------------------------------------ buffer */

static rl_status reserve(rl_buffer *buffer, size_t extra, rl_error *err)
{
    if (buffer->length + extra < buffer->capacity) return RL_OK;
    size_t capacity = (buffer->length + extra + 1) * 2;
    char *grown = rl_regrow(buffer->data, buffer->length, capacity, 1, err);
    if (!grown) return RL_ERR_MEMORY;
    buffer->data = grown;
    buffer->capacity = capacity;
    return RL_OK;
}

rl_status rl_buffer_append(rl_buffer *buffer, const void *bytes, size_t length, rl_error *err)
{
    rl_status status = reserve(buffer, length, err);
    if (status != RL_OK) return status;
    if (length) memcpy(buffer->data + buffer->length, bytes, length);
    buffer->length += length;
    buffer->data[buffer->length] = '\0';
    return RL_OK;
}

rl_status rl_buffer_vprintf(rl_buffer *buffer, rl_error *err, const char *format, va_list arguments)
{
    rl_status status = RL_OK;
    size_t room = buffer->capacity - buffer->length;
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(room ? buffer->data + buffer->length : NULL, room, format, arguments);
    if (length < 0) status = rl_fail(err, RL_ERR_INTERNAL, "vsnprintf refused the format '%s'", format);
    if (status == RL_OK && (size_t)length >= room) {
        if (room) buffer->data[buffer->length] = '\0';
        status = reserve(buffer, (size_t)length + 1, err);
        if (status == RL_OK) vsnprintf(buffer->data + buffer->length, (size_t)length + 1, format, again);
    }
    va_end(again);
    if (status == RL_OK) buffer->length += (size_t)length;
    return status;
}

rl_status rl_buffer_printf(rl_buffer *buffer, rl_error *err, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    rl_status status = rl_buffer_vprintf(buffer, err, format, arguments);
    va_end(arguments);
    return status;
}

void rl_buffer_free(rl_buffer *buffer)
{
    rl_free(buffer->data);
    *buffer = (rl_buffer){0};
}
