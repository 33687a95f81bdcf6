"""`make bench`: TeeMate beside native and beside conventional enclaves, in medians of interleaved runs."""
