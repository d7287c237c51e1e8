"""Run directories → pages to look at: a server that follows a run (`rise view`) and a copy that opens from disk. Reads only.

`index.py` finds the lines of a file, `rows.py` says what a list shows of each, `record.py` what is shown when one is opened,
`library.py` names runs, stages and files, `live.py` reads what a run has not finished; `server.py` and `export.py` hand the
same data to the same page: `page/`.
"""
