"""The commands that need the trainers: ``train``, ``recipes`` and ``data``."""
