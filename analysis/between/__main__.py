"""``python -m analysis.between CHECKPOINT``."""

from analysis.between.report import main

if __name__ == "__main__":
    main()
