"""Beyond one machine: a Ray cluster holds replicas of the policy and judges, and trains. Ray places, restarts and moves.

The run itself stays where `rise` was started: one process, one ledger, one run directory. Nothing here is imported, and Ray
with it, unless a recipe has a `[cluster]`.
"""
