"""`bench list`: the cases of a plan, and which of them this machine can run."""

from __future__ import annotations

from rich.markup import escape

from bench.cli.asking import BUILDING, NAMING, asks
from bench.cli.console import Json, device_line, out, print_json
from bench.machine.environment import environment
from bench.plans.choose import Asked, choose
from bench.plans.eligible import why_not


@asks(NAMING, BUILDING)
def list_(asked: Asked, as_json: Json = False) -> None:
    """The cases of a plan: which of them this machine can run, and why not the others."""
    chosen = choose(asked)
    env = environment()
    reasons = {case: why_not(case, env, chosen.reserved) for case in chosen.cases}
    if as_json:
        print_json([{"case": case.name, "runs": not reason, "reason": reason} for case, reason in reasons.items()])
        return
    out.print(f"{chosen.name}: {chosen.why}", markup=False)
    out.print(f"Device here: {device_line(env)}", markup=False)
    for case, reason in reasons.items():
        mark = "[yellow]skipped[/]" if reason else "[green]runs   [/]"
        out.print(f"{mark} {case.name}" + (f"  [dim]{escape(reason)}[/]" if reason else ""), soft_wrap=True)
    skipped = sum(map(bool, reasons.values()))
    out.print(
        f"{len(reasons)} cases: {len(reasons) - skipped} run here, {skipped} are skipped; {chosen.rounds} round(s)."
    )
