"""Recorded exchanges through our matching engine: what the record says and what the engine does, compared row by row.

    lobster        NASDAQ messages against the order book file beside them, and the maker of every execution
    binance_depth  a snapshot and depth diffs against every bookTicker that has their update id; gaps in the ids
    bitstamp       an order log against the venue's own snapshots; orders whose deletion never came
    driver         the engine, or both twins in step, on a venue without clearing, and a book that follows their outcomes
    record         files, plain or .zst, with file and line where they are torn
    answer, show   what is found, as an object and as tables
"""
