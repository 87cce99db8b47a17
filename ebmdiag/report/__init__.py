"""Reports: a self-contained HTML page from results and findings, and the look of its figures."""
