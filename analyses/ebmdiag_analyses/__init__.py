"""One module for each question asked of a trace; none of them needs torch."""
