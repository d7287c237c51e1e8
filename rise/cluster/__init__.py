"""Beyond one machine: replicas of the policy, judges and training on a Ray cluster. Ray places and restarts the processes.

The run itself stays where `rise` was started: one process, one ledger, one run directory. Nothing here is imported, and Ray
with it, unless a recipe has a `[cluster]`.
"""
