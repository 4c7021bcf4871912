"""The paper's claims as experiments: each a sweep in ``conf/experiment`` and a module here of the same name.

    python -m experiments size=default

runs all, and writes one report; see ``docs/experiments.md``.
"""
