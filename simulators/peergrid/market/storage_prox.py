"""Exact proximal step of a storage over its horizon, by convex dynamic programming.

One storage, T steps of ``dt_h`` hours, charge ``c`` and discharge ``d`` in kW, injection
``p = d - c``::

    min   sum_t  c_ch c_t + c_dis d_t + W_t / 2 (d_t - c_t - target_t)^2
    s.t.  e_{t+1} = keep e_t + x_t - demand_t,   x_t = dt_h (eta_c c_t - d_t / eta_d)
          e_lo_t <= e_{t+1} <= e_hi_t,   charge and discharge in their boxes

The cost of reaching an energy level is convex and piecewise quadratic, so its derivative, the
marginal value of stored energy, is a rising polyline. A step of time shifts it by the demand, adds
the polyline of the power (infimal convolution: abscissas add at equal marginal value) and cuts it
to the energy bounds. Walking back along the polylines gives the optimum without iterations or
tolerances; zero-width boxes (an unplugged vehicle, a tight departure) need no special case.

The relaxation that lets a storage charge and discharge at once (and so burn energy where its
marginal value is negative) is part of the problem, as in the central linear programme.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
CURVE = 9  # most vertices of one step's power polyline


@njit(cache=True, error_model="numpy")
def _emit_segment(curve, n, charge, discharge, moving_charge, p_star, upper, par):  # type: ignore[no-untyped-def]
    """Append one edge of the charge/discharge box, cut to its side of ``p_star``."""
    eta_c, eta_d, dt_h, c_ch, c_dis, weight, target = par
    if charge[0] == charge[1] and discharge[0] == discharge[1]:
        return n
    for end in range(2):
        ch, dis = charge[end], discharge[end]
        p = dis - ch
        if (p < p_star) if upper else (p > p_star):
            far = discharge[1 - end] - charge[1 - end]
            if (far <= p_star) if upper else (far >= p_star):
                return n
            if moving_charge:
                ch = dis - p_star
            else:
                dis = p_star + ch
            p = p_star
        pull = weight * (p - target)
        curve[0, n] = dt_h * (eta_c * ch - dis / eta_d)
        if moving_charge:
            curve[1, n] = (c_ch - pull) / (dt_h * eta_c)
        else:
            curve[1, n] = (-c_dis - pull) * eta_d / dt_h
        curve[2, n] = ch
        curve[3, n] = dis
        n += 1
    return n


@njit(cache=True, error_model="numpy")
def power_curve(curve, box, par):  # type: ignore[no-untyped-def]
    """Polyline (energy change, marginal value, charge, discharge) of one step.

    Walks the box of charge and discharge from full discharge to full charge. Above the injection
    ``p_star`` energy has so low a value that burning it pays: the path runs along the upper edges.
    Returns the number of vertices.
    """
    ch_lo, ch_hi, dis_lo, dis_hi = box
    eta_c, eta_d, dt_h, c_ch, c_dis, weight, target = par
    round_trip = 1.0 / eta_d - eta_c
    p_star = np.inf
    if round_trip > 1e-12 and weight > 0.0:
        p_star = target + (c_ch + eta_c * (c_ch + c_dis) / round_trip) / weight
    up = (dis_hi, dis_hi)
    n = _emit_segment(curve, 0, (ch_lo, ch_hi), up, True, p_star, True, par)
    n = _emit_segment(curve, n, (ch_hi, ch_hi), (dis_hi, dis_lo), False, p_star, True, par)
    n = _emit_segment(curve, n, (ch_lo, ch_lo), (dis_hi, dis_lo), False, p_star, False, par)
    low = (dis_lo, dis_lo)
    n = _emit_segment(curve, n, (ch_lo, ch_hi), low, True, p_star, False, par)
    if n == 0:
        curve[0, 0], curve[1, 0] = dt_h * (eta_c * ch_lo - dis_lo / eta_d), 0.0
        curve[2, 0], curve[3, 0] = ch_lo, dis_lo
        n = 1
    return n


@njit(cache=True, error_model="numpy")
def _slope(x, value, i, n):  # type: ignore[no-untyped-def]
    """Abscissa per marginal value on the way to vertex ``i``; zero off the ends and on flats."""
    if i == 0 or i == n or value[i] <= value[i - 1]:
        return 0.0
    return (x[i] - x[i - 1]) / (value[i] - value[i - 1])


@njit(cache=True, error_model="numpy")
def _convolve(a, a_value, n_a, curve, n_b, out):  # type: ignore[no-untyped-def]
    """Infimal convolution of polyline a and the power's; ``out`` rows: sum, value, part of a."""
    i = n = 0
    for j in range(n_b + 1):
        below = max(j - 1, 0)
        slope = _slope(curve[0], curve[1], j, n_b)
        while i < n_a and (j == n_b or a_value[i] <= curve[1, j]):
            out[0, n] = a[i] + curve[0, below] + slope * (a_value[i] - curve[1, below])
            out[1, n] = a_value[i]
            out[2, n] = a[i]
            i += 1
            n += 1
        if j < n_b:
            passed = max(i - 1, 0)
            part = a[passed] + _slope(a, a_value, i, n_a) * (curve[1, j] - a_value[passed])
            out[0, n] = part + curve[0, j]
            out[1, n] = curve[1, j]
            out[2, n] = part
            n += 1
    return n


@njit(cache=True, error_model="numpy")
def _value_at(merged, i, x):  # type: ignore[no-untyped-def]
    """Marginal value between the vertices ``i - 1`` and ``i``."""
    share = (x - merged[0, i - 1]) / (merged[0, i] - merged[0, i - 1])
    return merged[1, i - 1] + share * (merged[1, i] - merged[1, i - 1])


@njit(cache=True, error_model="numpy")
def _cut(merged, n, low, high, x, value):  # type: ignore[no-untyped-def]
    """Restrict a polyline to [low, high]; returns its new length, 0 if nothing is left."""
    tol = 1e-7 * (1.0 + abs(low) + abs(high))
    if merged[0, n - 1] < low - tol or merged[0, 0] > high + tol:
        return 0
    low = min(low, merged[0, n - 1])
    high = max(high, merged[0, 0])
    i = k = 0
    while merged[0, i] < low:
        i += 1
    if i > 0 and merged[0, i] > low:
        x[0], value[0] = low, _value_at(merged, i, low)
        k = 1
    while i < n and merged[0, i] <= high:
        # On a vertical run only the first and the last vertex carry information.
        if k > 1 and x[k - 1] == merged[0, i] and x[k - 2] == merged[0, i]:
            k -= 1
        x[k], value[k] = merged[0, i], merged[1, i]
        i += 1
        k += 1
    if i < n and (k == 0 or x[k - 1] < high):
        x[k], value[k] = high, _value_at(merged, i, high)
        k += 1
    return k


@njit(cache=True, error_model="numpy")
def _zero_of(x, value, n):  # type: ignore[no-untyped-def]
    """Least energy whose marginal value is zero, or the nearest end."""
    for i in range(n):
        if value[i] >= 0.0:
            if i == 0:
                return x[0]
            share = (0.0 - value[i - 1]) / (value[i] - value[i - 1])
            return x[i - 1] + share * (x[i] - x[i - 1])
    return x[n - 1]


@njit(cache=True, error_model="numpy")
def _between(row, n, at):  # type: ignore[no-untyped-def]
    """Index i and share s with ``at = row[i] + s (row[i+1] - row[i])``, by bisection."""
    if n == 1 or at <= row[0]:
        return 0, 0.0
    if at >= row[n - 1]:
        return n - 2, 1.0
    low, high = 0, n - 1
    while high - low > 1:
        mid = (low + high) // 2
        if row[mid] <= at:
            low = mid
        else:
            high = mid
    span = row[high] - row[low]
    return low, (at - row[low]) / span if span > 0.0 else 0.0


@njit(cache=True, error_model="numpy")
def _along(row, i, share, n):  # type: ignore[no-untyped-def]
    if n == 1:
        return row[0]
    return row[i] + share * (row[i + 1] - row[i])


@njit(cache=True, error_model="numpy")
def _solve_one(r, storage, dt_h, weight, target, wear, scratch, charge, discharge):  # type: ignore[no-untyped-def]
    """Optimum of storage ``r`` into its rows of ``charge`` and ``discharge``; False: infeasible."""
    box, eta_c, eta_d, keep, demand, e_now, e_lo, e_hi = storage
    curves, n_curve, merged, n_merged, x, value = scratch
    steps = target.shape[1]
    n = 1
    x[0] = e_now[r]
    value[0] = 0.0
    for t in range(steps):
        if keep[r] != 1.0 or demand[r, t] != 0.0:
            for i in range(n):
                x[i] = keep[r] * x[i] - demand[r, t]
                value[i] /= keep[r]
        par = (eta_c[r, t], eta_d[r, t], dt_h, wear[r], wear[r], weight[r], target[r, t])
        limits = (box[0, r, t], box[1, r, t], box[2, r, t], box[3, r, t])
        n_curve[t] = power_curve(curves[t], limits, par)
        n_merged[t] = _convolve(x, value, n, curves[t], n_curve[t], merged[t])
        n = _cut(merged[t], n_merged[t], e_lo[r, t], e_hi[r, t], x, value)
        if n == 0:
            return False
    energy = _zero_of(x, value, n)
    for t in range(steps - 1, -1, -1):
        n = n_merged[t]
        i, share = _between(merged[t, 0], n, energy)
        before = _along(merged[t, 2], i, share, n)
        change = energy - before
        j, part = _between(curves[t, 0], n_curve[t], change)
        charge[r, t] = _along(curves[t, 2], j, part, n_curve[t])
        discharge[r, t] = _along(curves[t, 3], j, part, n_curve[t])
        energy = (before + demand[r, t]) / keep[r]
    return True


@njit(cache=True, error_model="numpy")
def solve(storage, dt_h, weight, target, wear, charge, discharge):  # type: ignore[no-untyped-def]
    """Proximal step of every storage.

    Parameters
    ----------
    storage
        ``(box (4, S, T), eta_c (S, T), eta_d (S, T), keep (S,), demand (S, T), e_now (S,),
        e_lo (S, T), e_hi (S, T))``; box rows: least and most charge, least and most discharge
        [kW]; energies [kWh] at the end of each step.
    dt_h
        Step length [h].
    weight
        ``(S,)`` W [EUR/kW2], zero for the plain minimum of the linear cost.
    target
        ``(S, T)`` [kW].
    wear
        ``(S,)`` cost of one kW charged or discharged for a step [EUR/kW].
    charge, discharge
        ``(S, T)`` results [kW].

    Returns
    -------
    int
        -1, or the index of the first storage that no schedule can serve.
    """
    count, steps = target.shape
    room = CURVE * (steps + 1)
    scratch = (
        np.empty((steps, 4, CURVE)),
        np.empty(steps, dtype=np.int64),
        np.empty((steps, 3, room)),
        np.empty(steps, dtype=np.int64),
        np.empty(room),
        np.empty(room),
    )
    for r in range(count):
        if not _solve_one(r, storage, dt_h, weight, target, wear, scratch, charge, discharge):
            return r
    return -1
