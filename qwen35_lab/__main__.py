"""`python -m qwen35_lab` is `qwen35-lab`."""

import sys

from .cli import main

sys.exit(main())
