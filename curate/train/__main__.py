"""`accelerate launch -m curate.train sft ...` is `curate train sft ...` on every device."""

import sys

from curate.cli.app import main

if __name__ == "__main__":
    sys.argv.insert(1, "train")
    main()
