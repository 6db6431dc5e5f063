"""Distributions, intervals and tests over few seeds from their definitions, slow and plain: what tests/stats/test_recomputed.py holds /stats against."""

import functools
import itertools
import math
import statistics

import numpy as np

LEVEL, Q, NORMAL = 0.95, 0.05, 1.959963984540054


# ------------------------------------------------------------------------------------------------ distributions

NODES, WEIGHTS = np.polynomial.legendre.leggauss(400)


def integral(f, low, high):
    return float(((high - low) / 2 * WEIGHTS * f((high + low) / 2 + (high - low) / 2 * NODES)).sum())


def student_tail(t, df):
    """P(|T| > t), by quadrature over the angle."""
    scale = math.exp(math.lgamma((df + 1) / 2) - math.lgamma(df / 2)) / math.sqrt(df * math.pi)
    return 2 * integral(lambda a: scale * (1 + np.tan(a) ** 2 / df) ** (-(df + 1) / 2) / np.cos(a) ** 2, math.atan(abs(t)), math.pi / 2)


def student_critical(p, df):
    low, high = 0.0, 1e4
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if student_tail(middle, df) > p else (low, middle)
    return low


NORMAL_TAIL = np.vectorize(lambda x: math.erfc(x / math.sqrt(2)) / 2)


def paired_power(d_z, n, level):
    """Of a two-sided t-test, from its definition: T = (Z + d_z sqrt(n)) / (chi / sqrt(df))."""
    df, critical, shift = n - 1, student_critical(level, n - 1), abs(d_z) * math.sqrt(n)

    def density(x):
        chi = np.exp((df - 1) * np.log(x) - x * x / 2 - (df / 2 - 1) * math.log(2) - math.lgamma(df / 2))
        return chi * (NORMAL_TAIL(critical * x / math.sqrt(df) - shift) + NORMAL_TAIL(critical * x / math.sqrt(df) + shift))

    return integral(density, 1e-9, math.sqrt(df) + 12)


def pairs_needed(d_z, level):
    if not math.isfinite(d_z) or d_z == 0:
        return -1
    n = 2
    while 2.0 ** (1 - n) > level:
        n += 1
    if n > 1 and paired_power(d_z, n, level) >= 0.8:
        return n
    low, high = n, 10001
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if paired_power(d_z, middle, level) >= 0.8 else (middle, high)
    return high if high <= 10000 else -1


def chances(n, a, b):
    """{overlap: probability} of random sets of a and b out of n."""
    return {x: math.comb(a, x) * math.comb(n - a, b - x) / math.comb(n, b) for x in range(max(0, a + b - n), min(a, b) + 1)}


# ------------------------------------------------------------------------------------------------ resampling


@functools.lru_cache
def resamples(n):
    """All bootstrap samples of n values as counts, with their probabilities; many draws where there are too many of them."""
    if n > 7:
        counts = np.random.default_rng(1).multinomial(n, [1 / n] * n, 40000)
        return counts, np.full(len(counts), 1 / len(counts))
    counts = np.array([c for c in itertools.product(range(n + 1), repeat=n) if sum(c) == n])
    ways = [math.factorial(n) / math.prod(math.factorial(k) for k in c) for c in counts]
    return counts, np.array(ways) / n**n


def bca(x):
    """The bootstrap distribution of the mean (values ascending, their probabilities) and the two levels at which BCa (Efron 1987) cuts it."""
    normal, n, mean = statistics.NormalDist(), len(x), x.mean()
    counts, weight = resamples(n)
    means = counts @ x / n
    order = np.argsort(means)
    means, weight = means[order], weight[order]
    same = np.abs(means - mean) <= 1e-12 * np.abs(x).sum()
    left_out = (x.sum() - x) / (n - 1)
    d = left_out.mean() - left_out
    acceleration = (d**3).sum() / (6 * (d * d).sum() ** 1.5)
    bias = normal.inv_cdf(weight[(means < mean) & ~same].sum() + weight[same].sum() / 2)
    return means, weight, [normal.cdf(bias + (bias + z) / (1 - acceleration * (bias + z))) for z in (-NORMAL, NORMAL)]


def sign_flip(d):
    bar = abs(d.sum()) - 1e-12 * np.abs(d).sum()
    return float(np.mean([abs((d * s).sum()) >= bar for s in itertools.product((1, -1), repeat=len(d))]))


def benjamini_hochberg(p):
    p = np.asarray(p, float)
    known = np.flatnonzero(np.isfinite(p))
    out, order = np.full(len(p), np.nan), known[np.argsort(p[known], kind="stable")]
    for k, i in enumerate(order):
        out[i] = min(1.0, min(p[j] * len(known) / (m + 1) for m, j in enumerate(order) if m >= k))
    return out


def could_be_claimed(p, at, smallest):
    """Would Benjamini-Hochberg reject hypothesis `at`, were its p the smallest possible?"""
    p = np.array(p, float)
    p[at] = smallest
    return benjamini_hochberg(p)[at] <= Q


def median_life(times, events):
    """Kaplan-Meier median with the interval of Brookmeyer and Crowley, log(-log)."""
    times, events = np.array(times, float), np.array(events, bool)
    survival, greenwood, median, inside = 1.0, 0.0, math.nan, []
    for t in np.unique(times[events]):
        risk, deaths = (times >= t).sum(), ((times == t) & events).sum()
        survival *= 1 - deaths / risk
        greenwood += deaths / (risk * (risk - deaths)) if risk > deaths else math.inf
        if math.isnan(median) and survival <= 0.5 + 1e-12:
            median = t
        within = survival > 0 and abs(math.log(-math.log(survival)) - math.log(math.log(2))) <= NORMAL * math.sqrt(greenwood) / abs(math.log(survival))
        inside.append((t, within))
    low = next((t for t, w in inside if w), math.nan)
    high = next((t for (_, w), (t, v) in zip(inside, inside[1:]) if w and not v), math.nan)
    return median, low, high


def ranks(x):
    ordered = np.sort(x)
    return (np.searchsorted(ordered, x, "left") + np.searchsorted(ordered, x, "right") + 1) / 2


def spearman(a, b):
    known = np.isfinite(a) & np.isfinite(b)
    return np.corrcoef(ranks(a[known]), ranks(b[known]))[0, 1]


def jackknife(pairs, n):
    """Mean over pairs of n seeds, with Tukey's interval over seeds."""
    table = np.full((n, n), np.nan)
    for (i, j), v in zip(itertools.combinations(range(n), 2), pairs):
        table[i, j] = table[j, i] = v
    if not np.isfinite(table).any():
        return [math.nan] * 3 + [0]
    without = [np.delete(np.delete(table, k, 0), k, 1) for k in range(n)]
    means = np.array([np.nanmean(w) if np.isfinite(w).any() else np.nan for w in without])
    half = student_critical(1 - LEVEL, n - 1) * math.sqrt((n - 1) / n * ((means - means.mean()) ** 2).sum()) if n > 2 else math.nan
    return [np.nanmean(table), np.nanmean(table) - half, np.nanmean(table) + half, n]
