"""Recursive Introspection (RISE, arXiv 2407.18219): teach a language model to correct its own answer turn after turn.

task → rollout → trajectory → judge → relabel → keep, weigh → dataset → train → evaluate → report → serve
       └──────────────────────── iterate.py turns this handle, round after round ─────────┘
"""

__version__ = "0.1.0"
