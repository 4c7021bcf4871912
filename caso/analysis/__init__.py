"""The loss's curvature as data: eigenpairs, traces, spectra of restricted classes, operators compared.

Functions of a prepared network, images `[b, ...]` and target classes `[b]`; nothing here knows maps or metrics.
"""
