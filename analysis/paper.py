#!/usr/bin/env python3
"""analysis/paper.py DIR: relearn_analysis/paper.py, without installing anything."""

import sys

from relearn_analysis.command import main

sys.exit(main(["paper"] + sys.argv[1:]))
