"""Real, small jobs for the demo, with the sample data they read.

Each kind of job is a module that runs as ``python -m sanjin.examples.<kind>``. They need the
``examples`` extra; nothing in the kernel imports them. This file stays empty of imports, so that
a job pays only for what it uses itself.
"""
