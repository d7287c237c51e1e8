"""The executable paper: every claim of RISE as an experiment fixed beforehand, run by the functions of `rise run`, with a verdict."""
