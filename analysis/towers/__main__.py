"""``python -m analysis.towers CHECKPOINT``."""

from analysis.towers.study import main

if __name__ == "__main__":
    main()
