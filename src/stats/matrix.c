/* matrix.c -- block-cyclic matrices, filled straight from hyperslabs, and the ScaLAPACK calls on them.
 *
 * Two layouts. "Tall": rows dealt out in blocks to a P x 1 grid, one block a run: each rank reads its own runs. "Square":
 * the Gram matrix on a grid as square as the ranks allow, or on one rank alone where it is small (field notes E: hangs on
 * grids with more ranks than blocks). A rank that is in no grid takes part in nothing but the agreement.
 *
 * Blocks are square (64) wherever pdsyevd wants them so. Local arrays are column-major with leading dimension lld. */
#include "matrix.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The C interface of BLACS and the Fortran interface of ScaLAPACK 2.2 (LP64), which come without headers. */
extern int Csys2blacs_handle(MPI_Comm comm);
extern void Cfree_blacs_system_handle(int handle);
extern void Cblacs_gridinit(int *context, const char *order, int rows, int columns);
extern void Cblacs_gridexit(int context);
extern void Cblacs_gridinfo(int context, int *rows, int *columns, int *my_row, int *my_column);
extern int numroc_(const int *n, const int *nb, const int *me, const int *first, const int *num);
extern void descinit_(int *desc, const int *m, const int *n, const int *mb, const int *nb, const int *rsrc, const int *csrc,
                      const int *context, const int *lld, int *info);
extern void pdsyrk_(const char *uplo, const char *trans, const int *n, const int *k, const double *alpha, const double *a,
                    const int *ia, const int *ja, const int *desca, const double *beta, double *c, const int *ic, const int *jc,
                    const int *descc);
extern void pdgemm_(const char *ta, const char *tb, const int *m, const int *n, const int *k, const double *alpha,
                    const double *a, const int *ia, const int *ja, const int *desca, const double *b, const int *ib,
                    const int *jb, const int *descb, const double *beta, double *c, const int *ic, const int *jc,
                    const int *descc);
extern void pdsyevd_(const char *jobz, const char *uplo, const int *n, double *a, const int *ia, const int *ja,
                     const int *desca, double *w, double *z, const int *iz, const int *jz, const int *descz, double *work,
                     const int *lwork, int *iwork, const int *liwork, int *info);
extern void pdgeqrf_(const int *m, const int *n, double *a, const int *ia, const int *ja, const int *desca, double *tau,
                     double *work, const int *lwork, int *info);
extern void Cpdgemr2d(int m, int n, const double *a, int ia, int ja, const int *desca, double *b, int ib, int jb,
                      const int *descb, int context);

static const int ONE = 1, ZERO = 0;

/* ---------------------------------------------------------------------------------------------------- grids */

static void most_square(int size, int *rows, int *columns)
{
    int r = 1;
    for (int i = 1; i * i <= size; i++)
        if (size % i == 0) r = i;
    *rows = r;
    *columns = size / r;
}

rl_status rl_grid_create(rl_grid *out, MPI_Comm comm, int64_t square, rl_error *err)
{
    rl_grid g = {.comm = MPI_COMM_NULL, .context = -1, .rank = -1};
    int size, rank;
    MPI_Comm_size(comm, &size);
    MPI_Comm_rank(comm, &rank);
    int used = square > 0 && square <= RL_MATRIX_SMALL ? 1 : size;
    MPI_Comm_split(comm, rank < used ? 0 : MPI_UNDEFINED, rank, &g.comm);
    g.rows = used;
    g.columns = 1;
    if (square > 0) most_square(used, &g.rows, &g.columns);
    if (g.comm != MPI_COMM_NULL) {
        g.handle = Csys2blacs_handle(g.comm);
        g.context = g.handle;
        Cblacs_gridinit(&g.context, "R", g.rows, g.columns);
        int rows, columns;
        Cblacs_gridinfo(g.context, &rows, &columns, &g.my_row, &g.my_column);
        g.rank = g.my_row < 0 ? -1 : rank;
        if (rows != g.rows || columns != g.columns)
            return rl_fail(err, RL_ERR_INTERNAL, "BLACS made a grid of %d x %d instead of %d x %d", rows, columns, g.rows, g.columns);
    }
    *out = g;
    return RL_OK;
}

void rl_grid_free(rl_grid *g)
{
    if (g->comm == MPI_COMM_NULL) return;
    Cblacs_gridexit(g->context);
    Cfree_blacs_system_handle(g->handle);
    MPI_Comm_free(&g->comm);
}

/* -------------------------------------------------------------------------------------------------- matrices */

rl_status rl_matrix_create(rl_matrix *out, const rl_grid *g, int64_t m, int64_t n, int64_t mb, int64_t nb, rl_error *err)
{
    rl_status status = RL_OK;
    rl_matrix a = {.grid = g, .m = (int)m, .n = (int)n, .mb = (int)mb, .nb = (int)nb};
    int info = 0;
    if (m > INT32_MAX || n > INT32_MAX)
        return rl_fail(err, RL_ERR_INPUT, "a matrix of %lld x %lld is beyond ScaLAPACK's 32-bit indices", (long long)m, (long long)n);
    if (g->rank < 0) {
        a.desc[1] = -1; /* of no grid: what Cpdgemr2d wants to see */
        *out = a;
        return RL_OK;
    }
    a.local_rows = numroc_(&a.m, &a.mb, &g->my_row, &ZERO, &g->rows);
    a.local_columns = numroc_(&a.n, &a.nb, &g->my_column, &ZERO, &g->columns);
    a.lld = a.local_rows > 0 ? a.local_rows : 1;
    descinit_(a.desc, &a.m, &a.n, &a.mb, &a.nb, &ZERO, &ZERO, &g->context, &a.lld, &info);
    if (info) return rl_fail(err, RL_ERR_INTERNAL, "descinit refuses argument %d", -info);
    RL_ALLOC(a.values, (int64_t)a.lld * (a.local_columns > 0 ? a.local_columns : 1), err);
    *out = a;
cleanup:
    return status;
}

void rl_matrix_free(rl_matrix *a)
{
    rl_free(a->values);
    *a = (rl_matrix){0};
}

size_t rl_matrix_local_bytes(const rl_matrix *a) { return (size_t)a->lld * (size_t)a->local_columns * sizeof(double); }

/* Global index of a local one. */
static int64_t global_of(int64_t local, int block, int me, int num) { return (local / block * num + me) * block + local % block; }
int64_t rl_matrix_row(const rl_matrix *a, int64_t local) { return global_of(local, a->mb, a->grid->my_row, a->grid->rows); }
int64_t rl_matrix_column(const rl_matrix *a, int64_t local) { return global_of(local, a->nb, a->grid->my_column, a->grid->columns); }

void rl_matrix_move(rl_matrix *to, const rl_matrix *from, const rl_grid *all)
{
    Cpdgemr2d(from->m, from->n, from->values, 1, 1, from->desc, to->values, 1, 1, to->desc, all->context);
}

/* ----------------------------------------------------------------------------------------------------- calls */

void rl_matrix_gram(rl_matrix *c, const rl_matrix *a, bool of_rows)
{
    const double one = 1, zero = 0;
    int n = of_rows ? a->m : a->n, k = of_rows ? a->n : a->m;
    if (a->grid->rank < 0) return;
    pdsyrk_("L", of_rows ? "N" : "T", &n, &k, &one, a->values, &ONE, &ONE, a->desc, &zero, c->values, &ONE, &ONE, c->desc);
}

void rl_matrix_product(rl_matrix *c, bool transpose_a, const rl_matrix *a, const rl_matrix *b)
{
    const double one = 1, zero = 0;
    int k = transpose_a ? a->m : a->n;
    if (a->grid->rank < 0) return;
    pdgemm_(transpose_a ? "T" : "N", "N", &c->m, &c->n, &k, &one, a->values, &ONE, &ONE, a->desc, b->values, &ONE, &ONE, b->desc,
            &zero, c->values, &ONE, &ONE, c->desc);
}

/* The query of pdsyevd understates lwork where the order is small beside the block ("On entry to PDORMTR parameter number 16",
 * and silently wrong vectors, seen with order 23 and blocks of 64): pdormtr wants (rows + columns) * block + block^2 of its own. */
rl_status rl_matrix_eigen(double *values, rl_matrix *vectors, rl_matrix *a, rl_error *err)
{
    rl_status status = RL_OK;
    double *work = NULL, size = 0;
    int *iwork = NULL, lwork = -1, liwork = -1, isize = 0, info = 0;
    if (a->grid->rank < 0) return RL_OK;
    pdsyevd_("V", "L", &a->n, a->values, &ONE, &ONE, a->desc, values, vectors->values, &ONE, &ONE, vectors->desc, &size, &lwork,
             &isize, &liwork, &info);
    lwork = (int)size + 4 * a->nb * (a->local_rows + a->local_columns + 2 * a->nb) + 2 * a->n;
    liwork = 2 * isize + 7 * a->n + 8 * a->grid->columns + 1024;
    work = rl_calloc((size_t)lwork, sizeof *work, err);
    iwork = rl_calloc((size_t)liwork, sizeof *iwork, err);
    RL_TRY(rl_store_agree(a->grid->comm, work && iwork ? RL_OK : RL_ERR_MEMORY, err));
    pdsyevd_("V", "L", &a->n, a->values, &ONE, &ONE, a->desc, values, vectors->values, &ONE, &ONE, vectors->desc, work, &lwork,
             iwork, &liwork, &info);
    if (info) status = rl_fail(err, RL_ERR_INTERNAL, "pdsyevd ends with %d on a matrix of order %d", info, a->n);
cleanup:
    rl_free(work);
    rl_free(iwork);
    return status;
}

rl_status rl_matrix_triangle(double *r, rl_matrix *a, rl_error *err)
{
    rl_status status = RL_OK;
    double *tau = NULL, *work = NULL, size = 0;
    int lwork = -1, info = 0;
    memset(r, 0, (size_t)a->n * (size_t)a->n * sizeof *r);
    if (a->grid->rank < 0) return RL_OK;
    tau = rl_calloc((size_t)a->n + (size_t)a->nb, sizeof *tau, err);
    RL_TRY(rl_store_agree(a->grid->comm, tau ? RL_OK : RL_ERR_MEMORY, err));
    pdgeqrf_(&a->m, &a->n, a->values, &ONE, &ONE, a->desc, tau, &size, &lwork, &info);
    lwork = (int)size + 64;
    work = rl_calloc((size_t)lwork, sizeof *work, err);
    RL_TRY(rl_store_agree(a->grid->comm, work ? RL_OK : RL_ERR_MEMORY, err));
    pdgeqrf_(&a->m, &a->n, a->values, &ONE, &ONE, a->desc, tau, work, &lwork, &info);
    if (info) status = rl_fail(err, RL_ERR_INTERNAL, "pdgeqrf ends with %d", info);
    for (int i = 0; i < a->local_rows; i++)
        for (int j = 0; j < a->local_columns; j++) {
            int64_t row = rl_matrix_row(a, i), column = rl_matrix_column(a, j);
            if (row <= column && column < a->n) r[row * a->n + column] = a->values[(size_t)j * (size_t)a->lld + (size_t)i];
        }
cleanup:
    rl_free(tau);
    rl_free(work);
    return status;
}

/* ---------------------------------------------------------------------------------------------------- doctor */

/* A small matrix with known structure on as many ranks as there are; the residual of its decomposition. */
enum { ORDER = 96, BLOCK = 16 };

static double entry(int64_t i, int64_t j) { return 1.0 / (double)(i + j + 1) + (i == j ? (double)(i % 7) : 0); }

static void fill(rl_matrix *a)
{
    for (int j = 0; j < a->local_columns; j++)
        for (int i = 0; i < a->local_rows; i++)
            a->values[(size_t)j * (size_t)a->lld + (size_t)i] = entry(rl_matrix_row(a, i), rl_matrix_column(a, j));
}

rl_status rl_scalapack_residual(MPI_Comm comm, double *residual, rl_error *err)
{
    rl_status status = RL_OK;
    MPI_Comm plain = rl_store_plain_comm(comm);
    rl_grid grid = {.comm = MPI_COMM_NULL};
    rl_matrix a = {0}, v = {0}, product = {0};
    double w[ORDER], worst = 0;
    RL_TRY(rl_store_agree(plain, rl_grid_create(&grid, plain, RL_MATRIX_SMALL + 1, err), err));
    status = rl_matrix_create(&a, &grid, ORDER, ORDER, BLOCK, BLOCK, err);
    if (status == RL_OK) status = rl_matrix_create(&v, &grid, ORDER, ORDER, BLOCK, BLOCK, err);
    if (status == RL_OK) status = rl_matrix_create(&product, &grid, ORDER, ORDER, BLOCK, BLOCK, err);
    RL_TRY(rl_store_agree(plain, status, err));
    fill(&a);
    RL_TRY(rl_store_agree(plain, rl_matrix_eigen(w, &v, &a, err), err));
    fill(&a);
    rl_matrix_product(&product, false, &a, &v);
    for (int j = 0; j < v.local_columns; j++)
        for (int i = 0; i < v.local_rows; i++) {
            size_t at = (size_t)j * (size_t)v.lld + (size_t)i;
            double off = fabs(product.values[at] - v.values[at] * w[rl_matrix_column(&v, j)]);
            if (!(off <= worst)) worst = off;
        }
    MPI_Allreduce(&worst, residual, 1, MPI_DOUBLE, MPI_MAX, plain);
cleanup:
    rl_matrix_free(&a);
    rl_matrix_free(&v);
    rl_matrix_free(&product);
    rl_grid_free(&grid);
    MPI_Comm_free(&plain);
    return status;
}
