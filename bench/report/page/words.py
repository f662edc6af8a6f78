"""The meanings of the page's words, marks and columns, shown on hover, tap or focus, and together at its end."""

from __future__ import annotations

from collections.abc import Sequence

from bench.report.cells import View
from bench.report.rows import Row
from bench.report.views import TITLES, VIEWS

WORDS = {
    "p50": "Median latency: host time from the call to the result being ready, one execution at a time, in ms. Over "
    "several rounds: the median of their medians. Samples taken while the machine throttled do not count.",
    "throughput": "Images per second, executions enqueued back to back: of the median window that nothing disturbed.",
    "interval": "95 % confidence. Of one process: of the median, from order statistics. Over rounds: Student's, of the "
    "rounds' medians or the logarithms of their ratios, as a process is one sample.",
    "round": "One pass over all cases in a shuffled order, a fresh process each.",
    "front": "Cases that no other case of the model beats in both latency and throughput: what can be chosen.",
    "batch": "Images in one execution.",
    "way": "A variant, the precision it runs in and, on CUDA, whether it is launched as a graph (hollow points).",
    "layer": "An operation of the network by its module's name; +n: computed together with n others. Where the code "
    "knows no layers, a kernel.",
    "stage": "What a layer's name begins with; before the first stage is the stem, behind the last the head.",
    "rival": "The case that bench layers --against named, else the fastest other of the same model, batch and image "
    "whose layers are here. What one of the two computes together is compared together.",
    "ceilings": "The fastest products (in a case's precision) and copies in memory and cache that bench ceilings "
    "measured on this machine.",
    "layer floor": "The least time of one kernel for this layer at the measured ceilings of this machine (bench "
    "ceilings): of its multiplications or of its bytes, whichever takes longer.",
    "level": "The median between two changes, without single points that are far from both neighbours.",
    "change": "Told from the noise of the series such that of reports without any change at most 5 % show one, for the "
    "kinds of noise that docs/METHODOLOGY.md lists (bench history). Confirm one with bench ab on the two commits.",
    "gate": "The numerical check in the timed process. The error is the RMS difference from a float64 reference, as a "
    "multiple of plain torch's in the same precision and device; above 3 a case is refused and has no speed.",
    "accuracy": "Percent of labelled pictures whose label is the top class, and its 95 % interval. Of one model's "
    "precisions the loss to fp32 is surer than these intervals seem, as it is of the same pictures.",
    "agreement": "Percent of pictures that calibrated nothing with the top class of float32, and its 95 % interval.",
    "memory": "Peaks while measuring. The whole is this process on the device as NVML sees it; on a CPU its resident "
    "set.",
    "weights": "The model's parameters as the variant holds them.",
    "activations, workspace": "What torch's allocator had given out at its peak beyond the weights.",
    "allocator's spare": "What torch's allocator had reserved at its peak and not given out.",
    "everything else": "Context, libraries, code, captured graphs, and all memory of ONNX Runtime.",
    "import": "Seconds to import torch and what the variant needs.",
    "build": "Seconds to make the model and the pictures.",
    "prepare": "Seconds of what the variant does before its first call: fold, export, compile, tune.",
    "first call": "Seconds of the first execution, with whatever is compiled then.",
    "caches": "The state of the compile caches on disk: fresh (emptied by --cold), cold, partly warm, warm, unused.",
    "energy": "Joules of the whole card over a window of throughput of at least 5 s, by its energy counter, per image.",
    "stationary": "Without a trend: the end of the sampling is like its beginning, so that the median means something.",
    "quantile": "The latency that this share of the samples does not exceed.",
    "depth": "Layers with weights, as the model is named for.",
    "largest batch": "The largest batch that ran twice with right answers, by doubling and bisection.",
}

# what a mark of the heat maps and tables means
MARKS = {
    "★": "The fastest of its column, or of its model, batch and launch, for sure: by the intervals of its ratios to "
    "all others.",
    "≈": "May be as fast as the fastest: ways that are equally fast within 5 %, by the whole interval.",
    "?": "Which way is fastest cannot be told, and this one may be it. Behind a number, as ±?: its interval is wider "
    "than the number.",
    "*": "Over eager in fp32, as eager has no such case in this precision; of vs fp32: over eager's fp32.",
    "^": "Over eager with the other launch, as eager has no such case with this one.",
    "!": "Every throughput window was disturbed: no ratio rests on it, and no order.",
    "-": "Skipped: this machine or this way cannot run it; its reason shows on focus.",
    "✗": "Failed, or its answers were wrong: it has no speed; its reason shows on focus.",
}
# of columns that no view explains or only beside others, and of the page's further tables
HEADINGS = {
    "model": "The network, with the image's side behind it where that is not 224 pixels.",
    "variant": "One way of running a model; +graph: launched as a CUDA graph.",
    "prec": "Number format of weights and activations: fp32 (TF32 off), tf32, fp16, bf16; in 8 bits int8 and fp8.",
    "batch": "Images in one execution.",
    "images/s": "Throughput: images per second of executions enqueued back to back, of the median window.",
    "% of roof": "The floor over p50: 100% is as fast as the roofline. Over 100%: the machine was busy while its "
    "ceilings were measured, or work was saved: kernels fused further, bytes that stayed in a cache.",
    "block": "The floor, in ms, with one kernel a residual block.",
    "block %": "The floor with one kernel a residual block, over p50.",
    "cold L2": "p50 with the last-level cache (a GPU's L2) emptied before each execution, in ms; of small batches.",
    "gpu cold": "gpu with the last-level cache (a GPU's L2) emptied before each execution, in ms; of small batches.",
    "import": "Cold start: seconds to import torch and what the variant needs; a forked process has none.",
    "build": "Cold start: seconds to make the model.",
    "prepare": "Cold start: seconds of exporting, compiling and tuning before the first call.",
    "first": "Seconds of the first call.",
    "total s": "Cold start: seconds of all its parts, and of placing inputs.",
    "MB": "Size of the artefact, in millions of bytes.",
    "weights": "MiB of the weights as the variant holds them.",
    "alloc.": "MiB that torch's allocator had given out at its peak while measuring.",
    "reserved": "MiB that torch's allocator had reserved at its peak while measuring.",
    "W": "The mean power of the whole card over the window that J/image is of.",
    "°C": "The mean of the card's temperatures at the ends of the window that J/image is of.",
    "torch top-1": "top-1 of plain torch in that precision.",
    "case": "Model, variant, precision, batch, image size and launch: what is measured.",
    "round": WORDS["round"],
    "status": "How a record ended: ok, or why it has no speed.",
    "started, UTC": "When its process started.",
    "lasted, s": "Seconds of its process, from start to end.",
    "fits": WORDS["largest batch"],
    "next tried": "The smallest batch that did not run.",
    "what stopped it": "The reason why that batch did not run.",
    "over the commits": "Its values in the order of the commits, on their levels; a cross where it got worse, a ring "
    "where it got better.",
    "newest": "Its value at the newest commit that has one: the median of the rounds.",
    "change": "The level after it over the level before, less 1, and its 95 % interval: of the newest change for the "
    "worse that is news, else of the newest.",
    "at commit": "The first commit with the new level, and the day on which that was first measured.",
    "how sure": "p: the chance of such a change by the noise of the series alone, corrected for all series and all "
    "commits.",
}


def meanings(view: View, rows: Sequence[Row]) -> tuple[dict[str, str], str]:
    """Return what a view's legend says of its columns, by title, and what it says of all of them."""
    on_gpu = any(row.device == "cuda" for row in rows)
    memory = "memory of the process on the device" if on_gpu else "peak resident memory of the process"
    words: dict[str, str] = {}
    of_all, last = [], list[str]()
    for clause in " ".join(view.meaning.split()).format(memory=memory).split("; "):
        names, colon, text = clause.partition(": ")
        if colon and set(titles := names.split(", ")) <= TITLES:
            last = titles
            words |= dict.fromkeys(titles, text)
        elif last:  # more of the one before
            words |= {title: f"{words[title]}; {clause}" for title in last}
        else:
            of_all.append(clause)
    return {title: f"{text[:1].upper()}{text[1:]}." for title, text in words.items()}, "; ".join(of_all)


def column_words(rows: Sequence[Row]) -> dict[str, dict[str, str]]:
    """Return the meaning of every column of every view, by view and title, with its marks.

    A view that does not say a column's meaning has another's.
    """
    by_view = {name: meanings(view, rows)[0] for name, view in VIEWS.items()}
    anywhere = {title: text for words in reversed(by_view.values()) for title, text in words.items()} | HEADINGS
    texts: dict[str, dict[str, str]] = {}
    for name, view in VIEWS.items():
        of_view = by_view[name] | HEADINGS
        marks = {title: [f"{mark}: {text}." for mark, text in of.items()] for title, of in view.marks.items()}
        texts[name] = {
            title: " ".join([of_view.get(title, anywhere[title]), *marks.get(title, [])]) for title in view.titles
        }
    return texts


def all_columns(by_view: dict[str, dict[str, str]]) -> dict[str, str]:
    """Return each title with its meaning, for a list; where views differ, the longest, which has the marks."""
    texts = HEADINGS | {}
    for title, text in (pair for words in by_view.values() for pair in words.items()):
        texts[title] = max(texts.get(title, ""), text, key=len)
    return dict(sorted(texts.items(), key=lambda item: item[0].lower()))
