"""Cases as a list: which of them this machine can run, and why not the others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.text import Text

from bench.cli.console import device_line, hint
from bench.cli.tables import Column, console_for, out, print_csv, print_table, print_text
from bench.machine.facts import Environment
from bench.plans.eligible import why_none
from bench.plans.plan import Plan
from bench.text import plural

COLUMNS = (
    Column("case", "case", text=True),
    Column("runs", "runs", lambda runs: "yes" if runs else "no", text=True),
    Column("reason", "reason", text=True, wrapped=True),
)


def cases_json(plan: Plan, env: Environment) -> list[dict[str, Any]]:
    """Return each case of a plan, whether it runs here, and the reason if not."""
    reasons = why_none(plan.cases, env, plan.reserved)
    return [{"case": case.name, "runs": not reason, "reason": reason} for case, reason in reasons.items()]


def print_cases(
    plan: Plan, env: Environment, as_csv: bool = False, as_markdown: bool = False, closing: Iterable[str] = ()
) -> None:
    """Print a plan's cases, each with the reason why it does not run here, if there is one, and `closing` sentences.

    As CSV it prints the rows alone, and the sentences on stderr.
    """
    rows, out = cases_json(plan, env), console_for(as_markdown)
    if as_csv:
        print_csv(rows)
        for text in closing:
            hint(text)
        return
    out.print(f"{plan.name}: {plan.why}", markup=False)
    out.print(f"Device here: {device_line(env)}", markup=False)
    if as_markdown:
        print_table(COLUMNS, rows, as_markdown=True)
    else:
        _print_marks(rows)
    skipped = sum(not row["runs"] for row in rows)
    runs = len(rows) - skipped
    out.print(
        f"{len(rows)} {plural(len(rows), 'case')}: {runs} {plural(runs, 'runs', 'run')} here, "
        f"{skipped} {plural(skipped, 'is', 'are')} skipped; "
        f"{plan.rounds} {plural(plan.rounds, 'round')}."
    )
    for text in closing:
        out.print(text)


def _print_marks(rows: list[dict[str, Any]]) -> None:
    """Print the cases at once: a console that lays out each of thousands of lines takes longer than all else here."""
    words = [("runs   " if row["runs"] else "skipped", row["case"], row["reason"] or "") for row in rows]
    if not out.is_terminal:
        print_text("".join(f"{word} {case}{'  ' * bool(reason)}{reason}\n" for word, case, reason in words))
        return
    text = Text()
    for word, case, reason in words:
        text.append(word, "yellow" if reason else "green").append(f" {case}{'  ' * bool(reason)}")
        text.append(f"{reason}\n", "dim")
    out.print(text, soft_wrap=True, end="")
