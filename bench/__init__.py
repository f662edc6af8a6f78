"""The harness: which way of running a ResNet is fastest here, by how much, and is the answer still right?

    from bench import Store, Sweep, load, load_plan
    from bench.machine.environment import environment

    plan = load_plan("quick").only("resnet50/*/fp32/b1/*")
    store = Store("results/mine")
    for record in Sweep(plan, store, environment()).run():  # one fresh process per case and round
        print(record.case.name, record.status)

    frame = load("results/mine")  # pandas, a row per case and round

Importing it imports neither torch nor pandas.
"""

from bench.plans.case import Case
from bench.plans.plan import Plan, Settings
from bench.plans.plan import load as load_plan
from bench.records.frame import load
from bench.records.record import Record
from bench.records.store import Store
from bench.runs.sweep import Sweep

__all__ = ["Case", "Plan", "Record", "Settings", "Store", "Sweep", "load", "load_plan"]
