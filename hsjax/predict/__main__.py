"""`python -m hsjax.predict`."""

import sys

from hsjax.predict.command import main

if __name__ == "__main__":
    sys.exit(main())
