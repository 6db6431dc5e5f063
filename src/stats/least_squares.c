/* least_squares.c -- modified Gram-Schmidt, each column orthogonalised twice ("twice is enough", Giraud et al. 2005), in
 * the order of the columns, so that the column that is dropped is the later one. */
#include "least_squares.h"

#include <math.h>
#include <string.h>

#define DEPENDENT 1e-10 /* of a column's length is left: the ones before determine it */

rl_status rl_basis_create(rl_basis *out, int64_t rows, int64_t capacity, rl_error *err)
{
    rl_status status = RL_OK;
    rl_basis b = {.rows = rows, .capacity = capacity};
    RL_ALLOC(b.q, rows * capacity, err);
    RL_ALLOC(b.r, capacity * capacity, err);
    RL_ALLOC(b.scratch, rows, err);
cleanup:
    *out = b; /* what there is of it: rl_basis_free */
    return status;
}

void rl_basis_free(rl_basis *b)
{
    rl_free(b->q);
    rl_free(b->r);
    rl_free(b->scratch);
    *b = (rl_basis){0};
}

static double dot(const double *a, const double *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* scratch = y less its projection; coefficients get the projection. */
static void orthogonalise(rl_basis *b, double *coefficients, int64_t stride, const double *y)
{
    memcpy(b->scratch, y, (size_t)b->rows * sizeof *y);
    for (int64_t k = 0; coefficients && k < b->count; k++) coefficients[k * stride] = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t k = 0; k < b->count; k++) {
            double c = dot(b->q + k * b->rows, b->scratch, b->rows);
            for (int64_t i = 0; i < b->rows; i++) b->scratch[i] -= c * b->q[k * b->rows + i];
            if (coefficients) coefficients[k * stride] += c;
        }
}

bool rl_basis_add(rl_basis *b, const double *column)
{
    double length = sqrt(dot(column, column, b->rows));
    orthogonalise(b, b->r + b->count, b->capacity, column);
    double left = sqrt(dot(b->scratch, b->scratch, b->rows));
    if (!(left > DEPENDENT * length)) {
        for (int64_t k = 0; k < b->count; k++) b->r[k * b->capacity + b->count] = 0;
        return false;
    }
    for (int64_t i = 0; i < b->rows; i++) b->q[b->count * b->rows + i] = b->scratch[i] / left;
    b->r[b->count * b->capacity + b->count] = left;
    b->count++;
    return true;
}

double rl_basis_project(rl_basis *b, double *coefficients, const double *y)
{
    orthogonalise(b, coefficients, 1, y);
    return dot(b->scratch, b->scratch, b->rows);
}

void rl_basis_solve(const rl_basis *b, double *beta, const double *coefficients)
{
    for (int64_t i = b->count; i-- > 0;) {
        double sum = coefficients[i];
        for (int64_t j = i + 1; j < b->count; j++) sum -= b->r[i * b->capacity + j] * beta[j];
        beta[i] = sum / b->r[i * b->capacity + i];
    }
}

/* (R'R)^-1 column by column: R' z = e_k forward, R x = z backward. */
void rl_basis_inverse(const rl_basis *b, double *inverse)
{
    int64_t n = b->count, w = b->capacity;
    for (int64_t k = 0; k < n; k++) {
        double *x = inverse + k * n; /* symmetric: a row is a column */
        for (int64_t i = 0; i < n; i++) {
            double sum = i == k;
            for (int64_t j = 0; j < i; j++) sum -= b->r[j * w + i] * x[j];
            x[i] = sum / b->r[i * w + i];
        }
        for (int64_t i = n; i-- > 0;) {
            double sum = x[i];
            for (int64_t j = i + 1; j < n; j++) sum -= b->r[i * w + j] * x[j];
            x[i] = sum / b->r[i * w + i];
        }
    }
}

/* Givens rotations of row i of r against each row of more that reaches its diagonal. */
void rl_triangle_update(double *r, double *more, int64_t n)
{
    for (int64_t k = 0; k < n; k++)
        for (int64_t i = 0; i < n; i++) {
            double a = r[i * n + i], b = more[k * n + i], h = hypot(a, b);
            if (b == 0) continue;
            double c = a / h, s = b / h;
            for (int64_t j = i; j < n; j++) {
                double x = r[i * n + j], y = more[k * n + j];
                r[i * n + j] = c * x + s * y;
                more[k * n + j] = c * y - s * x;
            }
        }
}
