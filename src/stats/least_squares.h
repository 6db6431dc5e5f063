/* least_squares.h -- small least squares with columns that may depend on each other (least_squares.c). */
#ifndef RELEARN_STATS_LEAST_SQUARES_H
#define RELEARN_STATS_LEAST_SQUARES_H

#include "stats_internal.h"

/* Orthonormal columns grown one by one, each kept only if the ones before do not determine it. */
typedef struct rl_basis {
    int64_t rows, count, capacity;
    double *q; /* [capacity, rows] */
    double *r; /* [capacity, capacity] row-major, upper triangular: column j of the kept ones = sum_i r[i, j] q_i */
    double *scratch; /* [rows] */
} rl_basis;
rl_status rl_basis_create(rl_basis *out, int64_t rows, int64_t capacity, rl_error *err);
void rl_basis_free(rl_basis *basis);
bool rl_basis_add(rl_basis *basis, const double *column); /* false: dropped */
/* Squared length of what the basis leaves of y; coefficients [count] of its projection (may be NULL). */
double rl_basis_project(rl_basis *basis, double *coefficients, const double *y);
void rl_basis_solve(const rl_basis *basis, double *beta, const double *coefficients);     /* r beta = coefficients */
void rl_basis_inverse(const rl_basis *basis, double *inverse);                            /* (X'X)^-1 [count, count] */
/* Triangular factor of the rows of r and of more [n, n] each, into r. */
void rl_triangle_update(double *r, double *more, int64_t n);

#endif
