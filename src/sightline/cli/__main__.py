"""`python -m sightline.cli`."""

import sys

from sightline.cli.app import main

sys.exit(main())
