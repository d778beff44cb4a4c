"""Notebooks as jobs: run one with other parameters, or many side by side, and gather what they found in one table.

    qwen35-lab run 03 -p seed 5
    qwen35-lab sweep 03 -p seed 0,1,2 -p questions 256,1024 --jobs 2

`parameters` reads and checks what a notebook can be given, `find` finds it, `job` says which run is which. papermill
runs each in a process of its own (`worker`, started by `execute`; on a cluster by `cluster`). `work` skips what is
finished and writes the rest, `results` makes table and figure of it, `commands` is the command line.
"""
