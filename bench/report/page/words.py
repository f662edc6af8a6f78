"""The meanings of the page's words, shown on hover, tap or keyboard focus where a caption or a heading uses one."""

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
