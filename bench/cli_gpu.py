"""`bench gpu`: the unattended campaign, whole or in slices."""

from __future__ import annotations

import json
import shutil
import time
from typing import Annotated

import typer

from bench.campaign import SLICE_S, SLICES, USUAL, Campaign, gpu_folder
from bench.console import FAILED, STOPPED, UNABLE, device_line, out, stop, tell
from bench.environment import ROOT, environment, no_cuda


def gpu(
    slices: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SLICE...]", help=f"Of {', '.join(SLICES)}.  [default: {', '.join(USUAL)}]"),
    ] = None,
    dry: Annotated[bool, typer.Option("--dry", help="Walk every step on the CPU, to find what would fail.")] = False,
    budget: Annotated[
        float | None, typer.Option(min=5, metavar="SECONDS", help="For all together.  [default: 540 for each named]")
    ] = None,
) -> None:
    """The campaign on this GPU: right, tuned, measured; unattended, results under results/ and $OUT.

    A slice that was cut off goes on where it stopped. Each is of use alone.
    """
    unknown = [name for name in slices or () if name not in SLICES]
    if unknown:
        raise typer.BadParameter(f"unknown slice {unknown[0]!r}; allowed: {', '.join(SLICES)}")
    facts = environment()
    reason = no_cuda(facts)
    if reason and not dry:
        stop(f"this machine has no CUDA device: {reason}; --dry walks the campaign without one", UNABLE)
    results = ROOT / "results" / "local" / "gpu-dry" if dry else ROOT / "results"
    if dry:
        shutil.rmtree(results, ignore_errors=True)
    campaign = Campaign(facts, results, gpu_folder(), dry)
    campaign.root.mkdir(parents=True, exist_ok=True)
    (campaign.root / "environment.json").write_text(json.dumps(facts, indent=1) + "\n")
    shares = dict.fromkeys(slices, 1.0) if slices else dict.fromkeys(SLICES, 1.0) if dry else USUAL
    where = "the CPU, for a GPU" if dry else device_line(facts)
    end = time.monotonic() + (budget or SLICE_S * (len(slices) if slices else 1))
    try:
        for place, (name, share) in enumerate(shares.items()):
            left = end - time.monotonic()
            own = left / (len(shares) - place) if slices or dry else left * share
            out.print(f"\n{name}, {own:.0f} s on {where}: {SLICES[name].why}", markup=False, soft_wrap=True)
            for argv in campaign.run(name, own):
                out.print(f"$ python {' '.join(argv[1:])}", markup=False, soft_wrap=True)
    except KeyboardInterrupt:
        tell("\nStopped. The same command goes on from what is under results/.")
        raise typer.Exit(STOPPED) from None
    _told(campaign)
    raise typer.Exit(FAILED if campaign.failed else 0)


def _told(campaign: Campaign) -> None:
    for path in campaign.changed():
        size = path.stat().st_size / 2**20
        out.print(f"left: {path.relative_to(ROOT)}  {size:.1f} MiB", markup=False, soft_wrap=True)
    for line in campaign.too_much():
        tell(f"too much to be given back by a rented machine: {line}")
    for line in campaign.failed:
        tell(f"bench: {line}")
