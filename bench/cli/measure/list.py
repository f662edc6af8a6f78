"""`bench list`: what can be named, or the cases that are, and which of them this machine can run."""

from __future__ import annotations

from bench.cli.asking import BUILDING, NAMING, asks
from bench.cli.measure.cases import cases_json, print_cases
from bench.cli.measure.catalogue import print_catalogue
from bench.cli.options import Csv, Json, Markdown
from bench.cli.tables import print_csv, print_json
from bench.machine.environment import devices
from bench.plans.catalogue import describe_all
from bench.plans.choose import Selection, choose


@asks(NAMING, BUILDING)
def list_(selection: Selection, as_csv: Csv = False, as_markdown: Markdown = False, as_json: Json = False) -> None:
    """All that can be named: plans, models, variants, precisions; or the cases that are named, and which run here.

    What this machine cannot run has the reason beside it, and the cure if there is one.
    """
    env = devices()
    if not selection.given:
        catalogue = describe_all(env)
        if as_json:
            print_json(catalogue)
        elif as_csv:
            print_csv({"group": group} | row for group, rows in catalogue.items() for row in rows)
        else:
            print_catalogue(catalogue, env, as_markdown)
        return
    plan = choose(selection)
    print_json(cases_json(plan, env)) if as_json else print_cases(plan, env, as_csv, as_markdown)
