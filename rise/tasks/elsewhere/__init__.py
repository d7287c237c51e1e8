"""The way back: our tasks and judges as tasks of other projects, which must be installed beside rise."""
