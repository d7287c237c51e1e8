"""The executable paper: every claim of RISE as an experiment fixed beforehand and run by the functions of `rise run`."""
