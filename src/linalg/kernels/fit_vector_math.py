"""Coefficients of vector_math.h: weighted minimax fits (Lawson's iteration). Run: python fit_vector_math.py (needs numpy, scipy).

exp    e^r = 1 + r + r^2 p(r) on |r| <= ln2/2, relative error
erf    erf(x) = x + x p(x^2) on |x| <= 0.75, relative error
erfcx  e^(t^2) erfc(t) = u p(u) with u = 1/(1 + 0.3 t) on 0 <= t <= 10.5, relative error
"""
import numpy as np
from numpy.polynomial import chebyshev, polynomial
from scipy.special import erf, erfcx


def fit(x, f, weight, degree, iterations):
    """(largest weighted error, monomial coefficients) of the polynomial in x that fits f."""
    a, b = x[0], x[-1]
    basis = chebyshev.chebvander((2 * x - a - b) / (b - a), degree)
    importance = np.ones_like(x)
    best = (np.inf, None)
    for _ in range(iterations):
        s = np.sqrt(importance) * weight
        c = np.linalg.lstsq(basis * s[:, None], f * s, rcond=None)[0]
        e = np.abs((basis @ c - f) * weight)
        best = min(best, (e.max(), c), key=lambda pair: pair[0])
        importance = importance * e / (importance * e).sum()
    coefficients = np.zeros(1)
    for k in reversed(chebyshev.cheb2poly(best[1])):
        coefficients = polynomial.polyadd(polynomial.polymul(coefficients, [-(a + b) / (b - a), 2 / (b - a)]), [k])
    return best[0], coefficients


def nodes(a, b, count=4001):
    return (a + b) / 2 - (b - a) / 2 * np.cos(np.linspace(0, np.pi, count))


def show(name, result):
    print(f"{name}: error {result[0]:.2g}:", ", ".join(f"{np.float32(c):.9g}f" for c in result[1]))


r = nodes(-np.log(2) / 2 * 1.0005, np.log(2) / 2 * 1.0005)
r = r[abs(r) > 1e-6]
show("exp", fit(r, (np.expm1(r) - r) / r**2, r**2 / np.exp(r), 4, 400))
x = nodes(0, 0.75)[1:]
show("erf", fit(x * x, erf(x) / x - 1, x / erf(x), 5, 400))
u = nodes(1 / (1 + 0.3 * 10.5), 1)
f = erfcx((1 / u - 1) / 0.3) / u
show("erfcx", fit(u, f, 1 / f, 8, 300))
