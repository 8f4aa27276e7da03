"""``python -m rotated_atss`` is ``rotated-atss``."""

import sys

from rotated_atss.cli import main

sys.exit(main())
