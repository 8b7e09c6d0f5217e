"""``python -m sampt``."""

from sampt.cli.main import main

raise SystemExit(main())
