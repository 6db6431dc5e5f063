/* golden_stats.h -- expected.json of tools/goldens/stats.py, and numbers out of it. */
#ifndef RELEARN_TESTS_STATS_GOLDEN_H
#define RELEARN_TESTS_STATS_GOLDEN_H

#include "stats_steps.h"
#include "support.h"

static inline json_t *golden(void)
{
    static json_t *root;
    rl_error err = {0};
    if (!root) assert_ok(rl_json_read(&root, support_file("golden/stats/expected.json"), &err), err);
    return root;
}
/* null in the file is NaN here. */
static inline double real(const json_t *value) { return json_is_number(value) ? json_number_value(value) : NAN; }
static inline double field(const json_t *object, const char *key) { return real(json_object_get(object, key)); }
static inline double item(const json_t *array, size_t i) { return real(json_array_get(array, i)); }
static inline json_t *list(const json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    assert_true(json_is_array(value));
    assert_true(json_array_size(value) > 0);
    return value;
}
/* values[json_array_size]; rl_free */
static inline double *reals(const json_t *array, int64_t *n)
{
    *n = (int64_t)json_array_size(array);
    double *values = rl_calloc((size_t)*n, sizeof *values, NULL);
    for (int64_t i = 0; i < *n; i++) values[i] = item(array, (size_t)i);
    return values;
}
static inline void assert_same_or_nan(double a, double b, double rtol, double atol)
{
    if (isnan(b))
        assert_true(isnan(a));
    else
        assert_close(a, b, rtol, atol);
}

#endif
