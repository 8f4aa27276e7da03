"""Entry point of ``python -m rotated_atss``, the same as ``rotated-atss``."""

import sys

from rotated_atss.cli import main

sys.exit(main())
