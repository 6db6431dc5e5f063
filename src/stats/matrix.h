/* matrix.h -- distributed matrices of src/stats (matrix.c). */
#ifndef RELEARN_STATS_MATRIX_H
#define RELEARN_STATS_MATRIX_H

#include "stats_internal.h"

#define RL_MATRIX_BLOCK 64
#define RL_MATRIX_SMALL 256 /* a square matrix up to this order lives on one rank */

typedef struct rl_grid {
    MPI_Comm comm; /* MPI_COMM_NULL: this rank is not in it */
    int handle, context, rank, rows, columns, my_row, my_column; /* rank -1: not in it */
} rl_grid;
/* Collective on comm. square 0: all ranks in one column, for tall matrices; else for a square matrix of that order. */
rl_status rl_grid_create(rl_grid *out, MPI_Comm comm, int64_t square, rl_error *err);
void rl_grid_free(rl_grid *grid);

typedef struct rl_matrix {
    const rl_grid *grid;
    int m, n, mb, nb, local_rows, local_columns, lld, desc[9];
    double *values; /* local, column-major */
} rl_matrix;
rl_status rl_matrix_create(rl_matrix *out, const rl_grid *grid, int64_t m, int64_t n, int64_t mb, int64_t nb, rl_error *err);
void rl_matrix_free(rl_matrix *matrix);
size_t rl_matrix_local_bytes(const rl_matrix *matrix);
int64_t rl_matrix_row(const rl_matrix *matrix, int64_t local); /* global index of a local row */
int64_t rl_matrix_column(const rl_matrix *matrix, int64_t local);
/* Collective on `all`, which holds both grids: the same matrix in another layout. */
void rl_matrix_move(rl_matrix *to, const rl_matrix *from, const rl_grid *all);
/* Lower triangle of a a' (of_rows) or a' a; pdsyrk. */
void rl_matrix_gram(rl_matrix *c, const rl_matrix *a, bool of_rows);
void rl_matrix_product(rl_matrix *c, bool transpose_a, const rl_matrix *a, const rl_matrix *b); /* pdgemm */
/* values [n] ascending on every rank of the grid; a is destroyed; pdsyevd. */
rl_status rl_matrix_eigen(double *values, rl_matrix *vectors, rl_matrix *a, rl_error *err);
/* r [n, n] row-major: this rank's entries of the triangular factor of a, zero elsewhere; a is destroyed; pdgeqrf. */
rl_status rl_matrix_triangle(double *r, rl_matrix *a, rl_error *err);

#endif
