"""Compare our networks with what the official programs gave; everything is in command.py."""

import sys

try:
    from tools.parity.command import main
except ImportError as error:
    sys.exit(print(f"{error}. Run: pip install -e '.[sam]'; or use the Python that has it.", file=sys.stderr) or 2)
sys.exit(main())
