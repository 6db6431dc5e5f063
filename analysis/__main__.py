"""python3 analysis report DIR: what `relearn report` runs. The folder of this file is on sys.path, so the package needs no installation."""

import sys

from relearn_analysis.command import main

sys.exit(main())
