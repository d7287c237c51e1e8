"""Figures and tables as files of their own."""

from __future__ import annotations

import csv
import io
import shutil
import subprocess

import pytest
from synthetic_run import write_run
from typer.testing import CliRunner

from rise.cli.main import app
from rise.report.collect import collect
from rise.report.files import table_csv, table_latex
from rise.report.layout import lay_out
from rise.report.result_tables import main_table
from rise.report.table import Cell, Table

MAGIC = {"pdf": b"%PDF-", "svg": b"<?xml", "png": b"\x89PNG"}


def report(run, *words):
    return CliRunner().invoke(app, ["report", str(run.path), *words])


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Of every figure of the run that stands for all."""
    return {figure.key for figure in lay_out(collect(write_run(tmp_path_factory.mktemp("keys") / "run").path)).figures}


@pytest.mark.parametrize("kind", MAGIC)
@pytest.mark.slow
def test_every_figure_is_written_and_again_with_the_same_bytes(tmp_path, kind, keys):
    run = write_run(tmp_path / "run")
    assert report(run, "--figures", kind).exit_code == 0
    written = {path.name: path.read_bytes() for path in (run.path / "figures").iterdir()}
    assert set(written) == {f"{key}.{kind}" for key in keys}
    assert all(data.startswith(MAGIC[kind]) and b"#00fe" not in data for data in written.values())
    report(run, "--figures", kind)
    assert {path.name: path.read_bytes() for path in (run.path / "figures").iterdir()} == written


@pytest.mark.slow
def test_a_picture_file_has_the_light_colours_and_not_the_placeholders(tmp_path):
    run = write_run(tmp_path / "run")
    report(run, "--figures", "png")
    image = pytest.importorskip("matplotlib.image").imread(run.path / "figures/first.png")
    pixels = {tuple(round(255 * x) for x in pixel[:3]) for row in image[::3] for pixel in row[::3]}
    assert (255, 255, 255) in pixels and not any(r == 0 and g == 254 for r, g, _ in pixels)


def test_a_table_of_numbers_reads_back_from_csv(tmp_path):
    table = main_table(collect(write_run(tmp_path / "run").path))
    found = list(csv.DictReader(io.StringIO(table_csv(table))))
    row = next(row for row in found if row["stage"] == "round 1")
    assert (row["t5"], row["t5 change"]) == ("62.5", "+12.5") and row["m1@t1"] == "50.0" and row["m1@t1 beneath"] == "17.4–82.6"


def test_a_cell_of_any_text_is_one_cell():
    table = Table("k", "T", ("a,b", 'say "x"'), ((Cell("1,5\n2"), Cell("50 % & $ _ # { } ~ ^ \\")),))
    assert list(csv.reader(io.StringIO(table_csv(table)))) == [["a,b", 'say "x"'], ["1,5\n2", "50 % & $ _ # { } ~ ^ \\"]]
    row = table_latex(table).splitlines()[5]
    assert row.endswith(r"50 \% \& \$ \_ \# \{ \} \textasciitilde{} \textasciicircum{} \textbackslash{} \\")


@pytest.mark.slow
def test_every_table_is_written_in_both_formats(tmp_path):
    run = write_run(tmp_path / "run")
    assert report(run, "--tables", "csv", "--tables", "latex").exit_code == 0
    keys = {table.key for filled in lay_out(collect(run.path)).sections for table, _ in filled.tables}
    assert {path.name for path in (run.path / "tables").iterdir()} == {f"{key}.{end}" for key in keys for end in ("csv", "tex")}


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX here")
def test_latex_takes_the_tables(tmp_path):
    run = write_run(tmp_path / "run")
    report(run, "--tables", "latex")
    body = "\n\n".join(path.read_text() for path in sorted((run.path / "tables").glob("*.tex")))
    (tmp_path / "all.tex").write_text(
        "\\documentclass{article}\\usepackage[utf8]{inputenc}\\usepackage{booktabs}\\begin{document}" + body + "\\end{document}"
    )
    assert subprocess.run(["pdflatex", "-halt-on-error", "all.tex"], cwd=tmp_path, capture_output=True).returncode == 0


@pytest.mark.parametrize(("words", "known"), [(("--figures", "gif"), "pdf, svg, png"), (("--tables", "xls"), "csv, latex")])
def test_an_unknown_format_is_refused_before_anything_is_written(tmp_path, words, known):
    run = write_run(tmp_path / "run")
    refused = report(run, *words)
    assert refused.exit_code != 0 and known.split(", ")[0] in str(refused.exception)
    assert not (run.path / "report.html").exists()
