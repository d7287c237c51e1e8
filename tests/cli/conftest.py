"""The command line in the tests' own process."""

import sys

import pytest

from rise.cli.main import main


@pytest.fixture
def rise(monkeypatch, capsys):
    """`rise ARGUMENTS` in this process: (exit code, standard output, standard error)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["rise", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return run
