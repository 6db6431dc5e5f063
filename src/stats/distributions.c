/* distributions.c -- the few distribution functions that tests and intervals need, in double; held against scipy.stats by
 * tests/stats/test_functions.c. */
#include "stats_internal.h"

#include <math.h>

#define SQRT_2    1.4142135623730951
#define SQRT_2_PI 2.5066282746310002

double rl_normal_cdf(double x) { return 0.5 * erfc(-x / SQRT_2); }

/* Acklam's rational approximation (relative error 1.2e-9), then two Halley steps on erfc, which bring it to rounding. */
double rl_normal_quantile(double p)
{
    static const double a[] = {-3.969683028665376e+01, 2.209460984245205e+02,  -2.759285104469687e+02,
                               1.383577518672690e+02,  -3.066479806614716e+01, 2.506628277459239e+00},
                        b[] = {-5.447609879822406e+01, 1.615858368580409e+02, -1.556989798598866e+02,
                               6.680131188771972e+01, -1.328068155288572e+01},
                        c[] = {-7.784894002430293e-03, -3.223964580411365e-01, -2.400758277161838e+00,
                               -2.549732539343734e+00, 4.374664141464968e+00,  2.938163982698783e+00},
                        d[] = {7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00,
                               3.754408661907416e+00};
    double x;
    if (!(p > 0) || !(p < 1)) return p == 0 ? -INFINITY : p == 1 ? INFINITY : NAN;
    if (p > 0.5) return -rl_normal_quantile(1 - p);
    if (p < 0.02425) {
        double q = sqrt(-2 * log(p));
        x = (((((c[0] * q + c[1]) * q + c[2]) * q + c[3]) * q + c[4]) * q + c[5]) /
            ((((d[0] * q + d[1]) * q + d[2]) * q + d[3]) * q + 1);
    } else {
        double q = p - 0.5, r = q * q;
        x = (((((a[0] * r + a[1]) * r + a[2]) * r + a[3]) * r + a[4]) * r + a[5]) * q /
            (((((b[0] * r + b[1]) * r + b[2]) * r + b[3]) * r + b[4]) * r + 1);
    }
    for (int i = 0; i < 2; i++) {
        double u = (rl_normal_cdf(x) - p) * SQRT_2_PI * exp(x * x / 2);
        x -= u / (1 + x * u / 2);
    }
    return x;
}

/* Continued fraction of the incomplete beta function by Lentz's method: DLMF 8.17.22. */
static double beta_fraction(double a, double b, double x)
{
    const double tiny = 1e-300;
    double c = 1, d = 1 - (a + b) * x / (a + 1);
    if (fabs(d) < tiny) d = tiny;
    d = 1 / d;
    double h = d;
    for (int m = 1; m <= 20000; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        d = 1 + even * d;
        c = 1 + even / c;
        d = 1 / (fabs(d) < tiny ? tiny : d);
        if (fabs(c) < tiny) c = tiny;
        h *= d * c;
        d = 1 + odd * d;
        c = 1 + odd / c;
        d = 1 / (fabs(d) < tiny ? tiny : d);
        if (fabs(c) < tiny) c = tiny;
        h *= d * c;
        if (fabs(d * c - 1) < 1e-16) break;
    }
    return h;
}

double rl_incomplete_beta(double a, double b, double x)
{
    if (isnan(x) || !(a > 0) || !(b > 0)) return NAN;
    if (x <= 0) return 0;
    if (x >= 1) return 1;
    double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    if (x < (a + 1) / (a + b + 2)) return front * beta_fraction(a, b, x) / a;
    return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

double rl_student_two_sided(double t, double df)
{
    return isnan(t) ? NAN : isinf(t) ? 0 : rl_incomplete_beta(df / 2, 0.5, df / (df + t * t));
}

/* t > 0 with P(|T| > t) = p, by bisection: a handful of calls a report, never inside a loop over neurons. */
double rl_student_critical(double p, double df)
{
    double low = 0, high = 1;
    if (!(df > 0) || !(p > 0) || !(p < 1)) return NAN;
    while (rl_student_two_sided(high, df) > p && high < 1e150) high *= 2;
    for (int i = 0; i < 200 && high - low > 1e-15 * high; i++) {
        double middle = low + (high - low) / 2;
        if (rl_student_two_sided(middle, df) > p)
            low = middle;
        else
            high = middle;
    }
    return low + (high - low) / 2;
}

double rl_f_upper(double F, double df1, double df2)
{
    return isnan(F) ? NAN : F <= 0 ? 1 : isinf(F) ? 0 : rl_incomplete_beta(df2 / 2, df1 / 2, df2 / (df2 + df1 * F));
}

/* P(T <= t) of the noncentral t: Lenth 1989, algorithm AS 243. */
double rl_noncentral_t_cdf(double t, double df, double delta)
{
    if (t < 0) return 1 - rl_noncentral_t_cdf(-t, df, -delta);
    double x = t * t / (df + t * t), half = delta * delta / 2;
    double p = exp(-half), q = delta * exp(-half) / (SQRT_2 * tgamma(1.5)), sum = 0;
    for (int j = 0; j < 10000; j++) {
        sum += p * rl_incomplete_beta(j + 0.5, df / 2, x) + q * rl_incomplete_beta(j + 1.0, df / 2, x);
        p *= half / (j + 1);
        q *= half / (j + 1.5);
        if (j > half && fabs(p) + fabs(q) < 1e-17) break;
    }
    return rl_normal_cdf(-delta) + sum / 2;
}

/* ------------------------------------------------------------------------------------------ hypergeometric */

static double log_choose(double n, double k) { return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1); }

/* x common members of random sets of a and b out of n. */
static double overlap_probability(int64_t n, int64_t a, int64_t b, int64_t x)
{
    return exp(log_choose((double)a, (double)x) + log_choose((double)(n - a), (double)(b - x)) -
               log_choose((double)n, (double)b));
}

double rl_overlap_upper(int64_t n, int64_t a, int64_t b, int64_t x)
{
    double sum = 0;
    for (int64_t i = a < b ? a : b; i >= x && i >= 0 && i >= a + b - n; i--) sum += overlap_probability(n, a, b, i);
    return sum > 1 ? 1 : sum;
}

double rl_jaccard_chance(int64_t n, int64_t a, int64_t b)
{
    double sum = 0;
    int64_t least = a + b > n ? a + b - n : 0, most = a < b ? a : b;
    if (a + b == 0) return NAN;
    for (int64_t i = least; i <= most; i++) sum += overlap_probability(n, a, b, i) * (double)i / (double)(a + b - i);
    return sum;
}
