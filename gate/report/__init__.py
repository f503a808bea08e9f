"""Writers: one file for each format. They read a decision and its samples; they neither compute nor judge."""
