"""JSON schema of the flexibility message on the wire."""

from typing import Any

SCHEMA = "peergrid.flexibility/1"
KINDS = ("PEBC", "FRBC", "PPBC")


def _numbers(meaning: str) -> dict[str, Any]:
    return {
        "description": meaning,
        "anyOf": [{"type": "number"}, {"type": "array", "items": {"type": "number"}}],
    }


def _array(meaning: str) -> dict[str, Any]:
    return {
        "description": meaning,
        "type": "array",
        "items": {"type": "number"},
        "minItems": 1,
    }


MESSAGE_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "peergrid flexibility message",
    "type": "object",
    "additionalProperties": False,
    "required": ["kind", "t0_s", "dt_s", "p_min_kw", "p_max_kw"],
    "properties": {
        "schema": {"const": SCHEMA},
        "kind": {"enum": list(KINDS)},
        "t0_s": {"type": "number", "description": "start of the first step [s]"},
        "dt_s": {"type": "number", "exclusiveMinimum": 0, "description": "step length [s]"},
        "p_min_kw": _array("smallest injection per step (H)"),
        "p_max_kw": _array("largest injection per step (H)"),
        "p_ref_kw": _array("expected injection per step (H)"),
        "q_ref_kvar": _array("expected reactive injection per step (H); q.tan_phi: at p_ref_kw"),
        "sigma_kw": _numbers("standard deviation of the forecast (H)"),
        "e_min_kwh": _numbers("smallest energy (H+1)"),
        "e_max_kwh": _numbers("largest energy (H+1)"),
        "e_now_kwh": {"type": "number", "description": "energy at t0_s"},
        "eta_charge": _numbers("charging efficiency or coefficient of performance (H)"),
        "eta_discharge": _numbers("discharging efficiency (H)"),
        "leak": {"type": "number", "description": "share of the energy lost per step"},
        "demand_kwh": _numbers("energy drawn off within each step (H)"),
        "profiles": {
            "description": "cycles of appliances: their power profile and when they may run",
            "type": "array",
            "items": {
                "type": "object",
                "required": ["p_kw", "earliest", "latest", "count"],
                "properties": {
                    "p_kw": _array("power per step of the cycle, consumption positive [kW]"),
                    "earliest": {"type": "integer", "description": "first step it may run in"},
                    "latest": {"type": "integer", "description": "step before which it ends"},
                    "count": {"type": "integer", "description": "times it runs"},
                },
            },
        },
        "cost": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "linear": _numbers("EUR per kWh injected (H)"),
                "quadratic": {"type": "number", "description": "EUR per kW2 and hour"},
                "wear": {"type": "number", "description": "EUR per kWh charged or discharged"},
                "discomfort_eur_per_kw2h": {"type": "number"},
                "cut_cost": {"type": "number", "description": "EUR per kWh below p_max"},
            },
        },
        "q": {
            "description": "reactive injection on offer, under all of the limits that are given",
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "box": _array("[q_min_kvar, q_max_kvar]") | {"minItems": 2, "maxItems": 2},
                "disc_kva": {"type": "number", "exclusiveMinimum": 0},
                "min_pf": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
                "cost": {"type": "number", "minimum": 0, "description": "EUR per kvarh of |q|"},
                "quadratic": {
                    "type": "number",
                    "minimum": 0,
                    "description": "EUR per kvar2 and hour: quadratic * q^2",
                },
                "tan_phi": {
                    "type": "number",
                    "description": "q follows p: q = tan_phi * p, besides what else is offered",
                },
            },
        },
    },
}
"""JSON schema of the message on the wire."""
