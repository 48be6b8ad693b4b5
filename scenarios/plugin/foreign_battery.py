"""Somebody else's battery: takes part in the market and imports nothing of peergrid."""

import mosaik_api_v3

NAMES = ["P_set[MW]", "P[MW]", "flexibility"]
CELL = {"public": True, "params": ["kwh", "kw"], "attrs": NAMES}
ETA, STEP, HOURS = 0.95, 3600, 24  # efficiency each way; step [s]; horizon [h]


class ForeignBattery(mosaik_api_v3.Simulator):
    def __init__(self):
        super().__init__({"api_version": "3.0", "type": "time-based", "models": {"Cell": CELL}})

    def create(self, num, model, kwh, kw):
        self.kwh, self.kw = kwh, kw
        self.cells = {f"Cell-{k}": {"e": kwh / 2, "p": 0.0} for k in range(num)}
        return [{"eid": eid, "type": model} for eid in self.cells]

    def step(self, time, inputs, max_advance):
        self.time = time
        for eid, cell in self.cells.items():  # kW and kWh are the same number in a step of an hour
            asked = sum(v or 0.0 for v in inputs.get(eid, {}).get("P_set[MW]", {}).values()) * 1000
            full, empty = (cell["e"] - self.kwh) / ETA, cell["e"] * ETA
            cell["p"] = min(max(asked, -self.kw, full), self.kw, empty)  # discharge positive
            cell["e"] -= cell["p"] / ETA if cell["p"] > 0 else cell["p"] * ETA
        return time + STEP

    def flexibility(self, cell):
        message = {"kind": "FRBC", "t0_s": self.time + STEP, "dt_s": STEP, "e_now_kwh": cell["e"]}
        power = {"p_min_kw": [-self.kw] * HOURS, "p_max_kw": [self.kw] * HOURS}
        energy = {"e_min_kwh": [0.0] * (HOURS + 1), "e_max_kwh": [self.kwh] * (HOURS + 1)}
        return {**message, **power, **energy, "eta_charge": ETA, "eta_discharge": ETA}

    def get_data(self, outputs):
        cells = {eid: self.cells[eid] for eid in outputs}
        said = {eid: self.flexibility(cell) for eid, cell in cells.items()}
        return {e: {"P[MW]": c["p"] / 1000, "flexibility": said[e]} for e, c in cells.items()}
