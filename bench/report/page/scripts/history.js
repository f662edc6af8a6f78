// The history: what is drawn of it beside its charts; `whenChanged.push(draw)` has it follow the filters.
