"""What runs in the process of a local server: `transformers serve`, for as long as the process that started it lives.

That one holds the other end of our standard input and never writes. When it closes it, or dies in whatever way, reading
ends here, and so do we. Started as a file, without the package, which it does not need.
"""

import os
import sys
import threading


def end_with_parent() -> None:
    while os.read(0, 4096):  # not `sys.stdin`, whose lock would be missed when we end by ourselves
        pass
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=end_with_parent, daemon=True).start()
    from transformers.cli.transformers import main

    sys.argv[0] = "transformers"
    main()
