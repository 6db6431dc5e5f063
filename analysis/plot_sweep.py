#!/usr/bin/env python3
"""analysis/plot_sweep.py RESULTS.h5 --out PICTURE.svg: relearn_analysis/plot_sweep.py, without installing anything."""

import sys

from relearn_analysis.command import main

sys.exit(main(["plot"] + sys.argv[1:]))
