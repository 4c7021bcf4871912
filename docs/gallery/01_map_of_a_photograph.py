"""
A map in ten lines
==================

Text.
"""

print(1)
