"""Nets, data, samplers and one training loop (algorithm 1 of Nijkamp et al. 2020) that emits rows of a trace."""
