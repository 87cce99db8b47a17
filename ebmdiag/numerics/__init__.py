"""Pure functions on float64 arrays: no files, no traces, no drawing."""
